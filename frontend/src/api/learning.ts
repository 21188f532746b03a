import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, told } from "./client";
import { refreshEvery } from "./connection";
import type { LabelTask } from "./words";

export const useLabelTasks = (state: LabelTask["state"] | undefined) =>
  useQuery({
    queryKey: ["label-tasks", state],
    queryFn: () => told(api.GET("/api/v1/label-tasks", { params: { query: { limit: 200, ...(state ? { state } : {}) } } })),
    refetchInterval: refreshEvery,
  });

export const useModels = () =>
  useQuery({ queryKey: ["models"], queryFn: () => told(api.GET("/api/v1/models")), refetchInterval: refreshEvery });

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
    mutationFn: async (wish: { kind: "promote"; id: string } | { kind: "rollback" } | { kind: "retrain" }) => {
      if (wish.kind === "promote") {
        await told(api.POST("/api/v1/models/{id}/promote", { params: { path: { id: wish.id } } }));
      } else if (wish.kind === "rollback") await told(api.POST("/api/v1/models/rollback"));
      else await told(api.POST("/api/v1/jobs/retrain"));
    },
    onSettled: () => {
      void queries.invalidateQueries({ queryKey: ["models"] });
      void queries.invalidateQueries({ queryKey: ["jobs"] });
    },
  });
}
