import { useQuery } from "@tanstack/react-query";
import { api, told } from "./client";
import type { components } from "./schema";

export type SimilarDefect = components["schemas"]["SimilarJson"];

/** Defects of other parts that look like one; `number` counts from 0 over all images of the part. */
export const useSimilar = (id: string, number: number) =>
  useQuery({
    queryKey: ["similar", id, number],
    queryFn: () =>
      told(
        api.GET("/api/v1/inspections/{inspection_id}/defects/{number}/similar", {
          params: { path: { inspection_id: id, number }, query: { limit: 6 } },
        }),
      ),
    staleTime: 30_000,
    retry: false,
  });
