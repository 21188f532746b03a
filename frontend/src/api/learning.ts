import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, told } from "./client";
import { refreshEvery } from "./connection";
import type { Where } from "./shadow";
import type { LabelTask } from "./words";

export const useLabelTasks = (state: LabelTask["state"] | undefined) =>
  useQuery({
    queryKey: ["label-tasks", state],
    queryFn: () => told(api.GET("/api/v1/label-tasks", { params: { query: { limit: 200, ...(state ? { state } : {}) } } })),
    refetchInterval: refreshEvery,
  });

/** How far labels can be trusted; counted anew on the server, so it is asked for seldom. */
export const useLabelQuality = () =>
  useQuery({ queryKey: ["label-quality"], queryFn: () => told(api.GET("/api/v1/labels/quality")), staleTime: 60_000 });

/** What is drawn on this task is the truth from now on. */
export function useMakeGolden() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => told(api.POST("/api/v1/label-tasks/{id}/golden", { params: { path: { id } } })),
    onSettled: () => {
      for (const key of ["label-tasks", "label-quality"]) void queries.invalidateQueries({ queryKey: [key] });
    },
  });
}

export const useModels = () =>
  useQuery({ queryKey: ["models"], queryFn: () => told(api.GET("/api/v1/models")), refetchInterval: refreshEvery });

/** What a model is made of, which never changes, and what may compute it here, which is tried once it serves. */
export const useModelCard = (id: string) =>
  useQuery({ queryKey: ["model-card", id], queryFn: () => told(api.GET("/api/v1/models/{id}/card", { params: { path: { id } } })), staleTime: 60_000 });

/** The newest jobs; asked every two seconds while one runs, for its bar. */
export const useJobs = () =>
  useQuery({
    queryKey: ["jobs"],
    queryFn: () => told(api.GET("/api/v1/jobs", { params: { query: { limit: 40 } } })),
    refetchInterval: (query) => (query.state.data?.items.some((job) => job.state === "running") ? 2_000 : refreshEvery()),
  });

/** Something an engineer does to the registry; lists follow. */
export function useModelAction() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (wish: { kind: "promote"; id: string; /** Why, although golden parts speak against it. */ inSpiteOf?: string } | { kind: "challenge"; id: string } | { kind: "rollback" } | { kind: "retrain"; /** For a product or a station alone. */ place?: Where }) => {
      if (wish.kind === "promote") {
        await told(api.POST("/api/v1/models/{id}/promote", { params: { path: { id: wish.id } }, body: { in_spite_of: wish.inSpiteOf ?? "" } }));
      } else if (wish.kind === "challenge") {
        await told(api.POST("/api/v1/models/{id}/challenge", { params: { path: { id: wish.id } } }));
      } else if (wish.kind === "rollback") await told(api.POST("/api/v1/models/rollback"));
      else await told(api.POST("/api/v1/jobs/retrain", { body: wish.place ? { ...wish.place, reason: "" } : null }));
    },
    onSettled: () => {
      for (const key of ["models", "jobs", "shadow", "health"]) void queries.invalidateQueries({ queryKey: [key] });
    },
  });
}

/** Label tasks of these states, all of them, as a table for a spreadsheet. */
export const labelTasksCsv = (states: readonly string[]): string => `/api/v1/label-tasks.csv?${new URLSearchParams(states.map((state) => ["state", state]))}`;
