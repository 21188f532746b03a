import type { Saying, Word } from "../../api/outbox";
import type { Inspection } from "../../api/words";

/** The word that one press takes back, and until when that is possible (ISO 8601; null: as long as it stands). */
export type Undoable = { saying: Extract<Saying, { of: string }>; until: string | null };

/** What somebody said last of a part and may take back: a word that waits here first, then an open call, then a decision. */
export function undoable(inspection: Inspection, kept: readonly Word[], by: string, now: number): Undoable | null {
  const waits = kept.findLast((word) => word.by === by);
  if (waits?.kind === "undo" || waits?.kind === "withdraw") return null;
  if (waits) return { saying: { kind: waits.kind === "call" ? "withdraw" : "undo", of: waits.id, reason: "" }, until: null };
  const { call, decision } = inspection;
  if (call?.state === "open" && call.by === by) return { saying: { kind: "withdraw", of: call.id, reason: "" }, until: null };
  if (decision?.by !== by || now >= Date.parse(decision.undo_until)) return null;
  return { saying: { kind: "undo", of: decision.id, reason: "" }, until: decision.undo_until };
}
