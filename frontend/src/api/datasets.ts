import { useQuery } from "@tanstack/react-query";
import { api, told } from "./client";
import { refreshEvery } from "./connection";
import type { components } from "./schema";

type Schemas = components["schemas"];
export type DataSet = Schemas["DataSetJson"];
export type DataDifference = Schemas["DifferenceJson"];

/** What every retraining learnt from, the newest first. */
export const useDataSets = () =>
  useQuery({ queryKey: ["data-sets"], queryFn: async () => (await told(api.GET("/api/v1/data-sets"))).items, refetchInterval: refreshEvery });

/** What changed from one version to another; it stays as it is, versions never change. */
export const useDataDifference = (since: string, job: string) =>
  useQuery({
    queryKey: ["data-sets", since, job],
    queryFn: () => told(api.GET("/api/v1/data-sets/{job}/difference", { params: { path: { job }, query: { since } } })),
    staleTime: 60_000,
  });
