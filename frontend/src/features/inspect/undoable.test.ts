import { expect, it } from "vitest";
import type { Word } from "../../api/outbox";
import type { Inspection } from "../../api/words";
import { undoable } from "./undoable";

const NOW = Date.parse("2026-11-21T12:00:00Z");
const decision = { id: "d", by: "mia", undo_until: "2026-11-21T12:00:30Z" };
const call = { id: "c", by: "mia", state: "open" };
const part = (more: object) => ({ id: "i", decision: null, call: null, ...more }) as unknown as Inspection;
const word = (more: object) => ({ id: "w", by: "mia", ...more }) as Word;

it("takes back one's own decision, and only while there is time", () => {
  expect(undoable(part({ decision }), [], "mia", NOW)).toEqual({ saying: { kind: "undo", of: "d", reason: "" }, until: decision.undo_until });
  expect(undoable(part({ decision }), [], "ben", NOW)).toBeNull();
  expect(undoable(part({ decision }), [], "mia", NOW + 30_000)).toBeNull();
});

it("takes back what waits on this computer before what the server has, and nothing twice", () => {
  expect(undoable(part({ decision }), [word({ kind: "call" })], "mia", NOW)?.saying).toEqual({ kind: "withdraw", of: "w", reason: "" });
  expect(undoable(part({ decision }), [word({ verdict: "ok" })], "mia", NOW)?.saying).toEqual({ kind: "undo", of: "w", reason: "" });
  expect(undoable(part({ decision }), [word({ verdict: "ok" }), word({ id: "u", kind: "undo", of: "w" })], "mia", NOW)).toBeNull();
});

it("takes back an open call, not one that was answered", () => {
  expect(undoable(part({ call }), [], "mia", NOW)?.saying).toEqual({ kind: "withdraw", of: "c", reason: "" });
  expect(undoable(part({ call: { ...call, state: "answered" } }), [], "mia", NOW)).toBeNull();
});
