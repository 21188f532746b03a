import { Link } from "wouter";
import type { Labeller, LabelTask } from "../../api/words";
import { text } from "../../text";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { dayAndTime, fixed } from "../../ui/format";
import { marksOf } from "./quality";
import { TaskPicture } from "./TaskPicture";

/** Every task whose truth is known, with who did how well on it and when; the newest first. */
export function GoldenSet({ golden, labellers }: { golden: readonly LabelTask[]; labellers: readonly Labeller[] }) {
  const words = text.quality;
  return (
    <section aria-label={words.goldenTasks}>
      <h2>{words.goldenTasks}</h2>
      {golden.length === 0 ? (
        <p className="quiet">{words.noneGolden}</p>
      ) : (
        <table className="table">
          <ColumnHeads names={[text.label.head.what, text.label.head.part, words.whoDid]} />
          <tbody>
            {golden.map((task) => (
              <tr key={task.id}>
                <td>
                  <TaskPicture task={task} />
                </td>
                <th scope="row">
                  <Link href={`/inspect/${task.inspection_id}`}>{task.part}</Link>
                  <div className="quiet">
                    {task.station}
                    {task.view && ` · ${task.view}`}
                  </div>
                </th>
                <td>
                  <Marks task={task.id} labellers={labellers} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <p>
        <Link href="/labels/done">{words.chooseGolden}</Link>
      </p>
    </section>
  );
}

function Marks({ task, labellers }: { task: string; labellers: readonly Labeller[] }) {
  const marks = marksOf(task, labellers);
  if (marks.length === 0) return <span className="quiet">{text.quality.nobodyYet}</span>;
  return (
    <ul>
      {marks.map(({ person, at, score }) => (
        <li key={`${person} ${at}`}>
          {person} {fixed(score, 2)} <span className="quiet">{dayAndTime(at)}</span>
        </li>
      ))}
    </ul>
  );
}
