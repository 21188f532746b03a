import { SegmentedControl } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import { pictures } from "../../api/inspections";
import { useLabelTasks } from "../../api/learning";
import type { LabelTask } from "../../api/words";
import { text } from "../../text";
import { ago } from "../../ui/format";
import { Empty, waiting } from "../../ui/States";

type State = LabelTask["state"];

/** The queue of label tasks, the next one first, each with its reason and its way into Label Studio. */
export default function LabelPage() {
  const [state, setState] = useState<State>("pushed");
  const tasks = useLabelTasks(state);
  const words = text.label;
  return (
    <div className="page">
      <h1>{words.title}</h1>
      <SegmentedControl value={state} onChange={(value) => setState(value as State)} aria-label="State"
        data={(["pushed", "open", "done", "cancelled"] as const).map((value) => ({ value, label: words.state[value] }))} />
      {waiting(tasks) ??
        (tasks.data?.items.length === 0 ? (
          <Empty title={state === "pushed" || state === "open" ? words.empty : `None ${words.state[state]}`}>{words.emptyHelp}</Empty>
        ) : (
          <table className="table">
            <thead>
              <tr>
                <th scope="col">Crop of</th>
                <th scope="col">Part</th>
                <th scope="col">Why</th>
                <th scope="col">Urgency</th>
                <th scope="col">Since</th>
                <th scope="col">Label it</th>
              </tr>
            </thead>
            <tbody>
              {tasks.data?.items.map((task) => (
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
                    <meter min={0} max={1} value={task.urgency} aria-label={`Urgency ${task.urgency.toFixed(2)}`} /> {task.urgency.toFixed(2)}
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
