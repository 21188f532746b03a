import { Progress } from "@mantine/core";
import { useJobs } from "../../api/learning";
import { text } from "../../text";
import { ago } from "../../ui/format";
import { waiting } from "../../ui/States";
import { gathered } from "./gathered";

/** What is being done in the background, newest first; unfinished jobs on top. */
export function JobList() {
  const jobs = useJobs();
  const state = waiting(jobs);
  if (state) return state;
  const items = gathered(jobs.data?.items ?? []).slice(0, 12);
  if (items.length === 0) return <p className="quiet">{text.train.noJobs}</p>;
  return (
    <ul className="jobs">
      {items.map(({ job, times }) => (
        <li key={job.id} data-state={job.state}>
          <div>
            <strong>{job.kind.replaceAll("_", " ")}</strong> <span className="quiet">{job.state}, {ago(job.finished_at ?? job.started_at ?? job.created_at, Date.now())} ago{times > 1 && `, and ${times - 1} before it`}</span>
          </div>
          {job.state === "running" && (
            <Progress.Root size="sm">
              <Progress.Section value={100 * (job.progress ?? 1)} color="gray.7" animated={job.progress === null} striped={job.progress === null}
                aria-label={`${job.kind}: ${job.progress === null ? "running" : `${Math.round(100 * job.progress)} %`}`} />
            </Progress.Root>
          )}
          {(job.problem ?? job.message) && <div className={job.problem ? "problem" : "quiet"}>{job.problem ?? job.message}</div>}
        </li>
      ))}
    </ul>
  );
}
