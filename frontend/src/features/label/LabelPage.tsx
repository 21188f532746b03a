import { SegmentedControl } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import { pictures } from "../../api/inspections";
import { useLabelTasks } from "../../api/learning";
import type { LabelTask } from "../../api/words";
import { text } from "../../text";
import { ago } from "../../ui/format";
import { Empty, waiting } from "../../ui/States";

type Tab = "todo" | "done" | "cancelled";

/** Waiting ones may not be in Label Studio yet; the most urgent first, then the oldest, as the server lists them. */
const byUrgency = (a: LabelTask, b: LabelTask): number => b.urgency - a.urgency || a.id.localeCompare(b.id);

/** The queue of label tasks, the next one first, each with its reason and its way into Label Studio. */
export function LabelPage() {
  const [tab, setTab] = useState<Tab>("todo");
  const tasks = useLabelTasks(tab === "todo" ? "pushed" : tab);
  const unsent = useLabelTasks("open");
  const items = [...(tasks.data?.items ?? []), ...(tab === "todo" ? (unsent.data?.items ?? []) : [])].sort(byUrgency);
  const words = text.label;
  return (
    <div className="page">
      <h1>{words.title}</h1>
      <SegmentedControl value={tab} onChange={(value) => setTab(value as Tab)} aria-label="State"
        data={[{ value: "todo", label: words.todo }, ...(["done", "cancelled"] as const).map((value) => ({ value, label: words.state[value] }))]} />
      {waiting(tasks) ??
        waiting(unsent) ??
        (items.length === 0 ? (
          <Empty title={tab === "todo" ? words.empty : `None ${words.state[tab]}`}>{words.emptyHelp}</Empty>
        ) : (
          <table className="table">
            <thead>
              <tr>
                <th scope="col">View</th>
                <th scope="col">Part</th>
                <th scope="col">Why</th>
                <th scope="col">Urgency</th>
                <th scope="col">Since</th>
                <th scope="col">Label it</th>
              </tr>
            </thead>
            <tbody>
              {items.map((task) => (
                <tr key={task.id}>
                  <td>
                    <img src={pictures.thumbnail(task.inspection_id, task.n, 128)} alt="" width={72} height={54} loading="lazy" />
                  </td>
                  <td>
                    <Link href={`/inspect/${task.inspection_id}`}>{task.part}</Link>
                    <div className="quiet">
                      {task.station}
                      {task.view && ` · ${task.view}`}
                    </div>
                  </td>
                  <td>
                    {words.reason[task.reason]}
                    {task.problem && <div className="problem">{task.problem}</div>}
                  </td>
                  <td>
                    {task.urgency.toFixed(2)}
                  </td>
                  <td>{ago(task.closed_at ?? task.opened_at, Date.now())}</td>
                  <td>
                    {task.url ? (
                      <a href={task.url} target="_blank" rel="noreferrer">
                        Open in Label Studio
                      </a>
                    ) : (
                      <span className="quiet">{words.state[task.state]}</span>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        ))}
    </div>
  );
}
