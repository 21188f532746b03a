import type { Job } from "../../api/words";

const PLACE: Record<string, number> = { running: 0, waiting: 1, failed: 2 };

/** Jobs that run, wait or failed each for itself, in this order; then what is over, the newest of a kind for all of it. */
export function gathered(jobs: readonly Job[]): { job: Job; times: number }[] {
  const found = new Map<string, { job: Job; times: number }>();
  for (const job of jobs) {
    const key = job.state in PLACE ? job.id : `${job.kind} ${job.state}`;
    const before = found.get(key);
    if (before) before.times += 1;
    else found.set(key, { job, times: 1 });
  }
  const place = ({ job }: { job: Job }) => PLACE[job.state] ?? 3;
  return [...found.values()].sort((a, b) => place(a) - place(b));
}
