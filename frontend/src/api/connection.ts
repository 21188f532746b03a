import { useSyncExternalStore } from "react";

/** live: told as it happens; polling: asked again every few seconds; away: nobody answers. */
export type Connection = "live" | "polling" | "away";

let streaming = false;
let reachable = true;
let aheadMs = 0;
const watchers = new Set<() => void>();

function set(next: { streaming?: boolean; reachable?: boolean }): void {
  const before = connection.state();
  streaming = next.streaming ?? streaming;
  reachable = next.reachable ?? reachable;
  if (connection.state() !== before) for (const tell of watchers) tell();
}

/** Clocks that differ by less, in ms, agree: an answer bears its time in whole seconds, and takes its own to come. */
const AGREE_MS = 5_000;

export const connection = {
  /** The server's clock less this computer's, in ms; 0 where they agree. */
  ahead: (): number => aheadMs,
  /** An answer bore the server's time. */
  toldTime(date: string | null): void {
    const ahead = Date.parse(date ?? "") - Date.now();
    if (Number.isFinite(ahead)) aheadMs = Math.abs(ahead) < AGREE_MS ? 0 : ahead;
  },
  state: (): Connection => (streaming ? "live" : reachable ? "polling" : "away"),
  answered: (yes: boolean) => set(yes ? { reachable: true } : { reachable: false, streaming: false }),
  streams: (yes: boolean) => set(yes ? { streaming: true, reachable: true } : { streaming: false }),
  watch(tell: () => void) {
    watchers.add(tell);
    return () => watchers.delete(tell);
  },
};

export const useConnection = (): Connection => useSyncExternalStore(connection.watch, connection.state);

/** How often lists ask again, in ms: seldom while events come, often while they do not. */
export const refreshEvery = (): number => (connection.state() === "live" ? 30_000 : 3_000);
