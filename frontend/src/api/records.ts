import { useInfiniteQuery } from "@tanstack/react-query";
import { api, told } from "./client";
import { refreshEvery } from "./connection";
import type { Verdict } from "./words";

/** What is looked for; `since` is a moment with its time zone. */
export type Chosen = { station?: string; verdict?: Verdict; part?: string; since?: string };

const PAGE = 50;

/** Inspections that a choice fits, the newest first, page by page. */
export const useRecords = (chosen: Chosen, limit = PAGE) =>
  useInfiniteQuery({
    queryKey: ["inspections", "records", chosen, limit],
    queryFn: ({ pageParam }) => told(api.GET("/api/v1/inspections", { params: { query: { ...chosen, limit, ...(pageParam ? { cursor: pageParam } : {}) } } })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor,
    refetchInterval: refreshEvery,
  });

/** The same, all of them, as a table for a spreadsheet. */
export const recordsCsv = (chosen: Chosen): string => `/api/v1/inspections.csv?${new URLSearchParams(chosen)}`;
