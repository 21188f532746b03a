import { keepPreviousData, useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, told } from "./client";
import { refreshEvery } from "./connection";
import type { Inspection, Verdict } from "./words";

export type Filter = { station?: string; verdict?: Verdict; part?: string };

const PAGE = 40;

/** Inspections, newest first, page by page. */
export const useInspections = (filter: Filter) =>
  useInfiniteQuery({
    queryKey: ["inspections", filter],
    queryFn: ({ pageParam }) =>
      told(
        api.GET("/api/v1/inspections", {
          params: { query: { ...filter, limit: PAGE, ...(pageParam ? { cursor: pageParam } : {}) } },
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor,
    refetchInterval: refreshEvery,
    placeholderData: keepPreviousData,
  });

const one = (id: string) => ({
  queryKey: ["inspection", id],
  queryFn: () => told(api.GET("/api/v1/inspections/{inspection_id}", { params: { path: { inspection_id: id } } })),
});

/** One inspection, with outlines; asked again while it is still being inspected. */
export const useInspection = (id: string | undefined) =>
  useQuery({
    ...one(id ?? ""),
    enabled: id !== undefined,
    staleTime: 10_000,
    refetchInterval: (query) => (query.state.data?.progress === "received" ? 500 : false),
  });

/** Have the neighbours ready before they are asked for. */
export function usePrefetch(): (ids: readonly string[]) => void {
  const queries = useQueryClient();
  return (ids) => {
    for (const id of ids) void queries.prefetchQuery({ ...one(id), staleTime: 30_000 });
  };
}

export type Word = { id: string; verdict: "ok" | "ng"; reason: string };

/** The operator's word. What the server answers is what the page shows. */
export function useDecide() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, ...body }: Word) =>
      told(api.POST("/api/v1/inspections/{inspection_id}/decision", { params: { path: { inspection_id: id } }, body })),
    onSuccess: (after: Inspection) => {
      queries.setQueryData(["inspection", after.id], after);
      void queries.invalidateQueries({ queryKey: ["inspections"] });
    },
  });
}

export const useStations = () =>
  useQuery({
    queryKey: ["stations"],
    queryFn: () => told(api.GET("/api/v1/stations")),
    refetchInterval: refreshEvery,
  });

/** Addresses of pictures. */
export const pictures = {
  thumbnail: (id: string, n: number, size: number) => `/api/v1/inspections/${id}/images/${n}/thumbnail.jpg?size=${size}`,
  tile: (id: string, n: number, level: number, column: number, row: number) =>
    `/api/v1/inspections/${id}/images/${n}/tiles/${level}/${column}_${row}.jpg`,
  original: (id: string, n: number) => `/api/v1/inspections/${id}/images/${n}/original`,
};
