import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, told } from "./client";
import { refreshEvery } from "./connection";
import type { components } from "./schema";

type Schemas = components["schemas"];
export type Assignment = Schemas["AssignmentJson"];
export type Head = Schemas["HeadJson"];

/** Products and stations with a model of their own. */
export const useAssignments = () =>
  useQuery({ queryKey: ["models", "assignments"], queryFn: async () => (await told(api.GET("/api/v1/models/assignments"))).items, refetchInterval: refreshEvery });

/** Let a model serve a product, a station, or a product at a station, or look on there; or let the one before it serve there again. */
export function useAssign() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ model, looksOn, ...place }: { model: string | null; looksOn?: boolean; product: string; station: string; reason: string }) => {
      if (model === null) await told(api.POST("/api/v1/models/assignments/rollback", { body: place }));
      else if (looksOn) await told(api.POST("/api/v1/models/{id}/challenge", { params: { path: { id: model } }, body: place }));
      else await told(api.POST("/api/v1/models/{id}/assign", { params: { path: { id: model } }, body: place }));
    },
    onSettled: () => Promise.all([queries.invalidateQueries({ queryKey: ["models"] }), queries.invalidateQueries({ queryKey: ["shadow"] })]),
  });
}

/** Classes learnt from a few examples, newest first. */
export const useHeads = () =>
  useQuery({ queryKey: ["heads"], queryFn: async () => (await told(api.GET("/api/v1/heads"))).items, refetchInterval: refreshEvery });

/** Learn a class from what people labelled so; or let one suggest nothing any more. Answers with the class. */
export function useHeadAction() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (wish: { kind: "learn"; name: string; toReview: boolean } | { kind: "retire"; id: string }): Promise<Head> =>
      wish.kind === "learn"
        ? told(api.POST("/api/v1/heads", { body: { name: wish.name, examples: [], to_review: wish.toReview } }))
        : told(api.POST("/api/v1/heads/{id}/retire", { params: { path: { id: wish.id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["heads"] }),
  });
}

/** Look for a class at every place of past pictures; a job does it, and what looks like the class becomes label tasks. */
export function useClassSearch() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (name: string) => (await told(api.POST("/api/v1/heads/search", { body: { name, parts: 200, tasks: 8 } })), name),
    onSettled: () => queries.invalidateQueries({ queryKey: ["jobs"] }),
  });
}
