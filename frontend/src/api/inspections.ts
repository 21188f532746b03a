import { type InfiniteData, keepPreviousData, type QueryClient, useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { api, ApiError, told } from "./client";
import { refreshEvery } from "./connection";
import { keepSending, newId, outbox, type Saying, type Sent, type Word } from "./outbox";
import { useSession } from "./session";
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

/** Longer side of the pictures that are there before the tiles, px. */
export const FIRST_PX = 320;

/** Fetch a part's first pictures now, so that they are there when they are drawn. */
function fetchPictures(id: string, images: number): void {
  for (let n = 0; n < images; n++) new Image().src = pictures.thumbnail(id, n, FIRST_PX);
}

/** Have the neighbours ready before they are asked for, with their first pictures. */
export function usePrefetch(): (ids: readonly string[]) => void {
  const queries = useQueryClient();
  return (ids) => {
    for (const id of ids) {
      void queries.fetchQuery({ ...one(id), staleTime: 30_000 }).then(
        ({ images }) => fetchPictures(id, images.length),
        () => undefined, // asked for again once it is looked at
      );
    }
  };
}

type Listed = { items: Inspection[]; next_cursor?: string | null };

/** A list with a new part on top; the same list where the part does not belong there, or not on top: the server will say. */
export function onTop(list: InfiniteData<Listed, string> | undefined, part: Inspection, filter: Filter): typeof list {
  const [first, ...others] = list?.pages ?? [];
  const newest = first?.items[0];
  const fits = Object.entries(filter).every(([name, value]) => part[name as keyof Filter] === value);
  if (!list || !first || !fits || (newest && newest.id >= part.id)) return list;
  return { ...list, pages: [{ ...first, items: [part, ...first.items] }, ...others] };
}

/**
 * A part was judged: whoever follows the line sees it at once. It is asked for together with its pictures, and stands on
 * top of the lists on screen before these are asked for again.
 */
export async function bring(queries: QueryClient, { id, images }: { id: string; images: number }): Promise<void> {
  const lists = queries.getQueryCache().findAll({ queryKey: ["inspections"], type: "active", predicate: ({ queryKey }) => typeof queryKey[1] === "object" });
  if (lists.length === 0) return;
  fetchPictures(id, images);
  const part = await queries.fetchQuery({ ...one(id), staleTime: 0, retry: false });
  for (const { queryKey } of lists) queries.setQueryData<InfiniteData<Listed, string>>(queryKey, (list) => onTop(list, part, queryKey[1] as Filter));
}

/** A server that takes longer than so many ms to take a word is as good as away. */
const WORD_MS = 8_000;

/** The call that brings a word to the server. */
function deliver(word: Word): Promise<Inspection> {
  const { id, inspection, reason } = word;
  const options = { params: { path: { inspection_id: inspection } }, signal: AbortSignal.timeout(WORD_MS) };
  if (word.kind === "call") return told(api.POST("/api/v1/inspections/{inspection_id}/call", { ...options, body: { id, question: reason } }));
  if (!("verdict" in word)) {
    if (word.kind === "undo") return told(api.POST("/api/v1/inspections/{inspection_id}/undo", { ...options, body: { id, decision: word.of } }));
    return told(api.POST("/api/v1/calls/{id}/withdraw", { params: { path: { id: word.of } }, signal: options.signal }));
  }
  return told(api.POST("/api/v1/inspections/{inspection_id}/decision", { ...options, body: { id, verdict: word.verdict, reason } }));
}

/** Sends one word; what the server answers is what the page shows from then on. */
const sender = (queries: QueryClient) => async (word: Word): Promise<Sent> => {
  try {
    const after = await deliver(word);
    queries.setQueryData(["inspection", after.id], after);
    void queries.invalidateQueries({ queryKey: ["inspections"] });
    return { taken: true };
  } catch (error) {
    const final = error instanceof ApiError && error.status >= 400 && error.status < 500 && ![401, 408, 429].includes(error.status);
    return final ? { refused: error.message } : "later"; // a log-in that ended is opened again
  }
};

/** The part on which something was said last on this page, for whoever wants to take it back. */
let lastSaid: string | null = null;
export const saidLast = (): string | null => lastSaid;

/** A person's word: kept on this computer first, then sent until the server has it. */
export function useSay() {
  const queries = useQueryClient();
  const by = useSession().data?.name ?? "";
  return useMutation({
    mutationFn: async (said: { inspection: string; part: string } & Saying) => {
      const id = newId();
      lastSaid = said.inspection;
      outbox.keep({ ...said, id, by });
      await outbox.send(by, sender(queries));
      const refused = outbox.all().find((word) => word.id === id)?.refused;
      if (refused === undefined) return;
      outbox.drop(id); // said here and now
      throw new ApiError(409, refused);
    },
  });
}

/** While somebody is logged in, what waits is sent whenever the server answers. */
export function useSending(by: string): void {
  const queries = useQueryClient();
  useEffect(() => keepSending(by, sender(queries)), [queries, by]);
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
