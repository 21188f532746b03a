import { Progress } from "@mantine/core";
import { useJobs } from "../../api/learning";
import { text } from "../../text";
import { ago } from "../../ui/format";
import { waiting } from "../../ui/States";

/** What is being done in the background, newest first; unfinished jobs on top. */
export function JobList() {
  const jobs = useJobs();
  const state = waiting(jobs);
  if (state) return state;
  const running = (job: { state: string }) => (job.state === "running" ? 0 : job.state === "waiting" ? 1 : 2);
  const items = [...(jobs.data?.items ?? [])].sort((a, b) => running(a) - running(b)).slice(0, 12);
  if (items.length === 0) return <p className="quiet">{text.train.noJobs}</p>;
  return (
    <ul className="jobs">
      {items.map((job) => (
        <li key={job.id} data-state={job.state}>
          <div>
            <strong>{job.kind.replaceAll("_", " ")}</strong> <span className="quiet">{job.state}, {ago(job.finished_at ?? job.started_at ?? job.created_at, Date.now())} ago</span>
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
