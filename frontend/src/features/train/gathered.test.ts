import { expect, it } from "vitest";
import type { Job } from "../../api/words";
import { gathered, type Told } from "./gathered";

const NOW = Date.parse("2026-11-21T12:00:00Z");
const job = (id: string, kind: string, state: string, hoursAgo: number, problem: string | null = null) =>
  ({ id, kind, state, problem, created_at: new Date(NOW - 3_600_000 * hoursAgo).toISOString(), started_at: null, finished_at: null }) as Job;
const ids = (list: readonly Told[]) => list.map(({ job: one, times }) => [one.id, times]);

it("what runs is on top, then the newest; equal ends are told once", () => {
  const list = gathered([job("1", "learn", "done", 1), job("2", "sweep", "failed", 2, "no disk"), job("3", "learn", "done", 3), job("4", "retrain", "waiting", 0), job("5", "retrain", "running", 5)], NOW);
  expect([ids(list.open), ids(list.recent), list.old]).toEqual([[["5", 1], ["4", 1]], [["1", 2], ["2", 1]], []]);
});

it("what was done for one product is not told with what was done for all", () => {
  const [all, bar] = [job("1", "retrain", "done", 1), { ...job("2", "retrain", "done", 2), product: "bar" }];
  expect(ids(gathered([all, bar], NOW).recent)).toEqual([["1", 1], ["2", 1]]);
});

it("a failure of long ago is folded and counted, and does not stand above what was done since", () => {
  const list = gathered([job("1", "sweep", "failed", 90, "no disk"), job("2", "sweep", "done", 1), job("3", "sweep", "failed", 80, "no disk"), job("4", "learn", "done", 30)], NOW);
  expect([ids(list.recent), ids(list.old), list.oldFailed]).toEqual([[["2", 1]], [["4", 1], ["3", 2]], 2]);
});
