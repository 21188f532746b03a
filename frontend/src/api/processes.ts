import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, told } from "./client";
import { refreshEvery } from "./connection";
import type { components } from "./schema";
import type { Decision, Process, Recommendation, Wondered } from "./words";

export const useProcesses = () =>
  useQuery({ queryKey: ["processes"], queryFn: () => told(api.GET("/api/v1/processes")), refetchInterval: refreshEvery });

/** How often to ask what is known of a process, in ms: it learns from outcomes, minutes after they were told. */
const REPORT_MS = 60_000;

export const useProcess = (name: string | undefined) =>
  useQuery({
    queryKey: ["process", name],
    queryFn: async () => {
      const found = await told(api.GET("/api/v1/processes/{name}", { params: { path: { name: name ?? "" } } }));
      return { ...found, process: found.process as unknown as Process };
    },
    enabled: name !== undefined,
    refetchInterval: REPORT_MS,
  });

/** The newest recommendations; all decisions, or one. */
export const useRecommendations = (name: string | undefined, decision: Decision | undefined) =>
  useQuery({
    queryKey: ["recommendations", name, decision],
    queryFn: async () => {
      const query = { limit: 100, ...(decision ? { decision } : {}) };
      const page = await told(
        api.GET("/api/v1/processes/{name}/recommendations", { params: { path: { name: name ?? "" }, query } }),
      );
      return page.items as unknown as Recommendation[];
    },
    enabled: name !== undefined,
    refetchInterval: refreshEvery,
    placeholderData: keepPreviousData,
  });

export const useSummary = (name: string | undefined) =>
  useQuery({
    queryKey: ["summary", name],
    queryFn: () => told(api.GET("/api/v1/processes/{name}/summary", { params: { path: { name: name ?? "" } } })),
    enabled: name !== undefined,
    refetchInterval: refreshEvery,
  });

/** How well a process is known. Counted anew on the server only when something new was told; an outcome makes it old. */
const known = <T,>(kind: string, name: string, ask: () => Promise<T>, enabled = true) => ({
  queryKey: ["known", kind, name],
  queryFn: ask,
  enabled,
  refetchInterval: REPORT_MS,
});
const of = (name: string) => ({ params: { path: { name } } });

/** What every setting does, and the trial that would tell of those that are not known. */
export const useLevers = (name: string) =>
  useQuery(known("levers", name, () => told(api.GET("/api/v1/processes/{name}/levers", of(name)))));

/** Promised beside kept. */
export const usePromises = (name: string) =>
  useQuery(known("promises", name, () => told(api.GET("/api/v1/processes/{name}/promises", of(name)))));

/** How capable it was and is. */
export const useCapability = (name: string) =>
  useQuery(known("capability", name, () => told(api.GET("/api/v1/processes/{name}/capability", of(name)))));

/** What moving settings to learn cost and taught. */
export const useExploring = (name: string) =>
  useQuery(known("exploring", name, () => told(api.GET("/api/v1/processes/{name}/exploring", of(name)))));

/** What the trial of the advice says; asked only where one is on. */
export const useWorth = (name: string, on: boolean) =>
  useQuery(known("worth", name, () => told(api.GET("/api/v1/processes/{name}/worth", of(name))), on));

/** Where a part would go under chosen settings. */
export const wonder = (name: string, body: Wondered, signal: AbortSignal) =>
  told(api.POST("/api/v1/processes/{name}/what-if", { ...of(name), body, signal }));

/** The same, asked once: nothing that it rests on changes while a model serves. */
export const useExpected = (name: string, body: Wondered) =>
  useQuery({ queryKey: ["what-if", name, body], queryFn: ({ signal }) => wonder(name, body, signal), staleTime: REPORT_MS });

/** What was done with a part and what came of it; what rests on outcomes is asked again. */
export function useTellOutcome(name: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: components["schemas"]["CameOf"]) => told(api.POST("/api/v1/processes/{name}/outcomes", { ...of(name), body })),
    onSettled: () => Promise.all([["recommendations", name], ["summary", name], ["known"]].map((queryKey) => queries.invalidateQueries({ queryKey }))),
  });
}

/** An engineer's word on the rework that a recommendation proposes. */
export function useApproval(name: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, ...body }: { id: string; answer: "approved" | "declined"; risk: string }) =>
      told(api.POST("/api/v1/processes/{name}/recommendations/{id}/approval", { params: { path: { name, id } }, body })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["recommendations", name] }),
  });
}
