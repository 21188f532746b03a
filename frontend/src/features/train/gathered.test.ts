import { expect, it } from "vitest";
import type { Job } from "../../api/words";
import { gathered } from "./gathered";

it("what runs is on top, what failed is not hidden, and what is over is told once", () => {
  const jobs = [["1", "learn", "done"], ["2", "sweep", "failed"], ["3", "learn", "done"], ["4", "retrain", "running"]];
  const list = gathered(jobs.map(([id, kind, state]) => ({ id, kind, state }) as Job));
  expect(list.map(({ job, times }) => [job.id, times])).toEqual([["4", 1], ["2", 1], ["1", 2]]);
});
