import { useSyncExternalStore } from "react";
import { connection } from "./connection";
import { UUID7_BYTES, uuid7 } from "./uuid7";

/** What a person says of a part: a verdict (words kept by earlier pages have no kind), a call to the team leader, or that one of these was not meant. */
export type Saying =
  | { kind?: "decision"; verdict: "ok" | "ng"; reason: string }
  | { kind: "call"; reason: string }
  | { kind: "undo" | "withdraw"; /** Id of the decision, or of the call, that is taken back. */ of: string; reason: string };

/** A word that is kept on this computer until the server has said that it has it. */
export type Word = { id: string; inspection: string; part: string; by: string; /** Why the server does not take it: a person must see that. */ refused?: string } & Saying;

/** The verdict that a word says, if it says one. */
export const verdictOf = (word: Word): "ok" | "ng" | undefined => ("verdict" in word ? word.verdict : undefined);

/** What came of sending: taken; refused for good, and why; or nobody answered, and it stays. */
export type Sent = { taken: true } | { refused: string } | "later";
type Send = (word: Word) => Promise<Sent>;

const KEPT_AS = "outbox";
/** While something waits, it is tried again every so many ms. */
const AGAIN_MS = 4_000;

type Keep = { getItem: (name: string) => string | null; setItem: (name: string, value: string) => void };

/** The words that wait, in the order in which they were said; each leaves when the server has it, and is sent under one id. */
export class Outbox {
  private words: readonly Word[];
  private readonly listeners = new Set<() => void>();
  private last: Promise<void> = Promise.resolve();

  constructor(private readonly store: Keep) {
    this.words = read(store);
  }

  all = (): readonly Word[] => this.words;

  watch = (tell: () => void): (() => void) => {
    this.listeners.add(tell);
    return () => this.listeners.delete(tell);
  };

  /** Another page of this browser changed what is kept. */
  reread = (): void => this.set(read(this.store));

  /**
   * Keep a word before it is sent; one of the same person on the same part that still waits is not meant any more. One that is
   * taken back stays all the same: the server may have it already, and takes both.
   */
  keep(word: Word): void {
    const follows = word.kind === "undo" || word.kind === "withdraw";
    this.write([...read(this.store).filter((one) => follows || one.by !== word.by || one.inspection !== word.inspection), word]);
  }

  drop(id: string): void {
    this.write(read(this.store).filter((one) => one.id !== id));
  }

  /** Send what waits of a person, oldest first, until nobody answers; one round after the other. */
  send(by: string, send: Send): Promise<void> {
    this.last = this.last.then(() => this.round(by, send));
    return this.last;
  }

  private async round(by: string, send: Send): Promise<void> {
    for (const word of this.words.filter((one) => one.by === by && !one.refused)) {
      const sent = await send(word);
      if (sent === "later") return;
      if ("taken" in sent) this.drop(word.id);
      else this.write(read(this.store).map((one) => (one.id === word.id ? { ...one, refused: sent.refused } : one)));
    }
  }

  private write(words: readonly Word[]): void {
    this.store.setItem(KEPT_AS, JSON.stringify(words));
    this.set(words);
  }

  private set(words: readonly Word[]): void {
    this.words = words;
    for (const tell of this.listeners) tell();
  }
}

function read(store: Keep): readonly Word[] {
  try {
    const found: unknown = JSON.parse(store.getItem(KEPT_AS) ?? "[]");
    return Array.isArray(found) ? (found as Word[]) : [];
  } catch {
    return []; // what another program wrote there is no word
  }
}

const nowhere: Keep = { getItem: () => null, setItem: () => undefined };
export const outbox = new Outbox(typeof localStorage === "undefined" ? nowhere : localStorage);

/** A new word's id, by the server's clock. */
export const newId = (): string => uuid7(Date.now() + connection.ahead(), crypto.getRandomValues(new Uint8Array(UUID7_BYTES)));

export const useOutbox = (): readonly Word[] => useSyncExternalStore(outbox.watch, outbox.all);

/** Send whenever the server answers again, and from time to time, until the returned function is called. */
export function keepSending(by: string, send: Send): () => void {
  const go = () => void (connection.state() === "away" ? undefined : outbox.send(by, send));
  const other = (event: StorageEvent) => event.key === KEPT_AS && outbox.reread();
  const timer = setInterval(() => void (outbox.all().length > 0 && outbox.send(by, send)), AGAIN_MS);
  const stop = connection.watch(go);
  window.addEventListener("storage", other);
  go();
  return () => {
    clearInterval(timer);
    stop();
    window.removeEventListener("storage", other);
  };
}
