import { Progress } from "@mantine/core";
import { useJobs } from "../../api/learning";
import type { Job } from "../../api/words";
import { text } from "../../text";
import { ago, percent } from "../../ui/format";
import { waiting } from "../../ui/States";
import { endOf, gathered, type Told } from "./gathered";
import { whereOf } from "./where";
import { Served } from "../../ui/Served";

/** What is being done in the background, then what ended lately, newest first; what is older than a day is folded. */
export function JobList() {
  const jobs = useJobs();
  const state = waiting(jobs);
  if (state) return state;
  const { open, recent, old, oldFailed } = gathered(jobs.data?.items ?? [], Date.now());
  const words = text.train;
  if (open.length + recent.length + old.length === 0) return <p className="quiet">{words.noJobs}</p>;
  const older = old.reduce((sum, { times }) => sum + times, 0);
  return (
    <>
      <List jobs={[...open, ...recent]} />
      {open.length + recent.length === 0 && <p className="quiet">{words.noRecentJobs}</p>}
      {older > 0 && (
        <details className="older-jobs">
          <summary>{oldFailed > 0 ? words.olderJobsFailed({ n: older, failed: oldFailed }) : words.olderJobs({ n: older })}</summary>
          <List jobs={old} />
        </details>
      )}
    </>
  );
}

/** What a job does, and for which product or station where it is not for all. */
function named({ kind, product, station }: Job): string {
  const what = text.train.jobKind[kind as keyof typeof text.train.jobKind] ?? kind.replaceAll("_", " ");
  return product || station ? `${what}: ${whereOf({ product, station })}` : what;
}

function List({ jobs }: { jobs: readonly Told[] }) {
  return (
    <ul className="jobs">
      {jobs.map(({ job, times }) => (
        <li key={job.id} data-state={job.state}>
          <div>
            <strong>{named(job)}</strong> <span className="quiet">{text.train.jobState[job.state as keyof typeof text.train.jobState] ?? job.state}, {ago(endOf(job), Date.now())}{times > 1 && `, ${text.train.jobsBefore({ n: times - 1 })}`}</span>
          </div>
          {job.state === "running" && (
            <Progress.Root size="sm">
              <Progress.Section value={100 * (job.progress ?? 1)} color="gray.7" animated={job.progress === null} striped={job.progress === null}
                aria-label={`${named(job)}: ${job.progress === null ? text.train.jobState.running : percent(job.progress)}`} />
            </Progress.Root>
          )}
          {(job.problem ?? job.message) && <div className={job.problem ? "problem" : "quiet"}><Served text={job.problem ?? job.message} /></div>}
        </li>
      ))}
    </ul>
  );
}
