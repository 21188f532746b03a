import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, told } from "./client";
import { refreshEvery } from "./connection";
import type { Decision, Process, Recommendation } from "./words";

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

/** An engineer's word on the rework that a recommendation proposes. */
export function useApproval(name: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, ...body }: { id: string; answer: "approved" | "declined"; risk: string }) =>
      told(api.POST("/api/v1/processes/{name}/recommendations/{id}/approval", { params: { path: { name, id } }, body })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["recommendations", name] }),
  });
}
