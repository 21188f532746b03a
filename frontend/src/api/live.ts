import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { connection } from "./connection";
import { bring } from "./inspections";
import type { components } from "./schema";

/** Which lists an event of each kind makes old. */
const TOUCHES: Record<string, readonly string[]> = {
  inspection: ["inspections", "stations", "shadow"],
  decision: ["inspections", "inspection", "shadow"],
  part: ["part"],
  call: ["calls", "inspections", "inspection", "wall"],
  label_task: ["label-tasks", "label-disputes", "label-quality", "inspection"],
  label_dispute: ["label-disputes"],
  label_book: ["label-book"],
  model: ["models", "health", "shadow"],
  job: ["jobs"],
  recommendation: ["recommendations", "processes", "batches", "batch"],
  outcome: ["recommendations", "summary", "known", "batches", "batch", "recipe"],
  alarm: ["alarms", "wall"],
  station: ["stations"],
  erasure: ["erasures", "inspections", "inspection", "alarms", "label-tasks"],
};

/** And which a job that came to its end: what jobs make, beyond what events of its own tell. */
const MADE_BY_JOBS = ["backups", "data-sets", "erasures", "heads", "known", "money", "processes", "recipe", "summary"];

/** The first event is answered at once, those of so many ms after it together: a burst asks for a list twice. */
const GATHER_MS = 150;

/** After a refused stream, ask for a new one so much later (a broken one is reopened by the browser itself). */
const REOPEN_MS = 3_000;

/** Listen to what happens until the returned function is called; lists refresh themselves. */
export function listen(queries: QueryClient): () => void {
  const old = new Set<string>();
  let gathering: ReturnType<typeof setTimeout> | undefined;
  let asked = -Infinity;
  let reopening: ReturnType<typeof setTimeout> | undefined;
  let source: EventSource;
  let wasOpen = false;
  let brings = false;

  const touch = (keys: readonly string[]) => {
    for (const key of keys) old.add(key);
    const wait = Math.max(0, asked + GATHER_MS - performance.now());
    gathering ??= setTimeout(() => {
      gathering = undefined;
      asked = performance.now();
      for (const key of old) void queries.invalidateQueries({ queryKey: [key] });
      old.clear();
    }, wait);
  };

  const open = () => {
    source = new EventSource("/api/v1/events");
    source.onopen = () => {
      connection.streams(true);
      if (wasOpen) void queries.invalidateQueries(); // nothing is replayed: ask again for what was missed
      wasOpen = true;
    };
    source.onerror = () => {
      const broke = connection.state() === "live";
      connection.streams(false);
      // Ask now: it shows whether anybody still answers, and starts the short interval (a timer set while live runs for 30 s).
      if (broke) void queries.invalidateQueries();
      if (source.readyState === EventSource.CLOSED) reopening = setTimeout(open, REOPEN_MS);
    };
    for (const [kind, keys] of Object.entries(TOUCHES)) if (kind !== "inspection") source.addEventListener(kind, () => touch(keys));
    source.addEventListener("job", ({ data }: MessageEvent<string>) => {
      const { state } = JSON.parse(data) as components["schemas"]["JobJson"];
      if (state !== "waiting" && state !== "running") touch(MADE_BY_JOBS);
    });
    source.addEventListener("inspection", ({ data }: MessageEvent<string>) => {
      const lists = () => touch(TOUCHES["inspection"] ?? []);
      if (brings) return lists(); // one part at a time: of a burst the lists tell the others
      brings = true;
      const brought = () => {
        brings = false;
        lists();
      };
      void bring(queries, JSON.parse(data) as { id: string; images: number }).then(brought, brought); // lists and light say what failed
    });
  };

  open();
  return () => {
    clearTimeout(gathering);
    clearTimeout(reopening);
    source.close();
    connection.streams(false);
  };
}

/** Listen while a page is open. */
export function useLiveEvents(): void {
  const queries = useQueryClient();
  useEffect(() => listen(queries), [queries]);
}
