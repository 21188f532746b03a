import type { Job } from "../../api/words";

export type Told = { job: Job; times: number };
export type Gathered = {
  /** Running, then waiting. */
  open: Told[];
  /** What ended lately, newest first. */
  recent: Told[];
  /** What ended before that, newest first. */
  old: Told[];
  /** Of `old`, jobs that failed. */
  oldFailed: number;
};

/** A day: whoever comes to work sees what went wrong since he left; what failed before stands folded. */
const RECENT_MS = 24 * 3_600_000;

export const endOf = (job: Job): string => job.finished_at ?? job.started_at ?? job.created_at;

/** Jobs as people look for them; equal ends of one kind and place are told once, with how many there were. `now` in ms. */
export function gathered(jobs: readonly Job[], now: number): Gathered {
  const open = jobs.filter((job) => job.state === "running" || job.state === "waiting").toSorted((a, b) => Number(b.state === "running") - Number(a.state === "running"));
  const over = jobs.filter((job) => !open.includes(job)).toSorted((a, b) => Date.parse(endOf(b)) - Date.parse(endOf(a)));
  const isOld = (job: Job) => now - Date.parse(endOf(job)) > RECENT_MS;
  const old = over.filter(isOld);
  return {
    open: open.map((job) => ({ job, times: 1 })),
    recent: once(over.filter((job) => !isOld(job))),
    old: once(old),
    oldFailed: old.filter((job) => job.state === "failed").length,
  };
}

/** The newest of each kind, end and problem, with how many there were. */
function once(jobs: readonly Job[]): Told[] {
  const found = new Map<string, Told>();
  for (const job of jobs) {
    const key = [job.kind, job.product, job.station, job.state, job.problem].join("\n");
    const before = found.get(key);
    if (before) before.times += 1;
    else found.set(key, { job, times: 1 });
  }
  return [...found.values()];
}
