import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, told } from "./client";
import { refreshEvery } from "./connection";
import type { components } from "./schema";

type Schemas = components["schemas"];
export type Batch = Schemas["BatchJson"];
export type BatchDecision = Schemas["BatchDecisionJson"];
export type BatchPlan = Schemas["BatchPlanJson"];
export type BatchPart = Schemas["BatchPartJson"];
export type BatchTaken = Schemas["BatchTaken"];

export const useBatches = (name: string | undefined) =>
  useQuery({
    queryKey: ["batches", name],
    queryFn: async () => (await told(api.GET("/api/v1/processes/{name}/batches", { params: { path: { name: name ?? "" } } }))).items,
    enabled: name !== undefined,
    refetchInterval: refreshEvery,
  });

/** One decision for all parts of a batch that wait before a step; left out: the step where most wait. */
export const useBatch = (name: string, batch: string, at: string | undefined) =>
  useQuery({
    queryKey: ["batch", name, batch, at],
    queryFn: () => told(api.GET("/api/v1/processes/{name}/batch", { params: { path: { name }, query: { batch, ...(at ? { at } : {}) } } })),
    refetchInterval: refreshEvery,
  });

/** One word on the rework of every part of a batch that waits for one. */
export function useBatchApproval(name: string, batch: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { answer: "approved" | "declined"; risk: string }) =>
      told(api.POST("/api/v1/processes/{name}/batch/approval", { params: { path: { name }, query: { batch } }, body })),
    onSettled: () => Promise.all([queries.invalidateQueries({ queryKey: ["batch", name, batch] }), queries.invalidateQueries({ queryKey: ["recommendations", name] })]),
  });
}

/** Take the one decision for a batch, as it was seen. */
export function useBatchWord(name: string, batch: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: Schemas["BatchWord"]) =>
      told(api.POST("/api/v1/processes/{name}/batch/decision", { params: { path: { name }, query: { batch } }, body })),
    onSettled: () => Promise.all([queries.invalidateQueries({ queryKey: ["batch", name, batch] }), queries.invalidateQueries({ queryKey: ["recommendations", name] })]),
  });
}

export const batchCsv = (name: string, batch: string, at: string | undefined): string =>
  `/api/v1/processes/${encodeURIComponent(name)}/batch.csv?${new URLSearchParams({ batch, ...(at ? { at } : {}) })}`;

/** A table of a process, such as `levers`, for a spreadsheet. */
export const processCsv = (name: string, what: "capability" | "levers" | "recipe" | "recommendations", chosen: Record<string, string> = {}): string =>
  `/api/v1/processes/${encodeURIComponent(name)}/${what}.csv${Object.keys(chosen).length > 0 ? `?${new URLSearchParams(chosen)}` : ""}`;
