import { SegmentedControl } from "@mantine/core";
import { Link, useLocation } from "wouter";
import { labelTasksCsv, useLabelTasks } from "../../api/learning";
import { useIsEngineer } from "../../api/session";
import type { LabelTask } from "../../api/words";
import { text } from "../../text";
import { words as desk } from "../../text/desk";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { ago, duration, fixed, seconds } from "../../ui/format";
import { Served } from "../../ui/Served";
import { Empty, waiting } from "../../ui/States";
import { TakeAway } from "../../ui/TakeAway";
import { Away } from "./Away";
import { Book } from "./Book";
import { DataSets } from "./DataSets";
import { Disputes } from "./Disputes";
import { Golden } from "./Golden";
import { Propose } from "./Propose";
import { Quality } from "./Quality";
import { counted } from "./counted";
import { TaskPicture } from "./TaskPicture";
import { partly, whys } from "./why";

const TABS = ["todo", "done", "cancelled", "disputes", "book", "quality", "data"] as const;
type Tab = (typeof TABS)[number];

/** What takes longer is said in minutes: nobody plans a morning in seconds. */
const MINUTES_FROM_S = 90;

/** Waiting ones may not be in Label Studio yet; the most urgent first, then the oldest, as the server lists them. */
const byUrgency = (a: LabelTask, b: LabelTask): number => b.urgency - a.urgency || a.id.localeCompare(b.id);

/** The queue of label tasks, the next one first, each with its reason and its way into Label Studio. */
export function LabelPage({ at }: { at: string | undefined }) {
  const [, go] = useLocation();
  const tab: Tab = TABS.find((one) => one === at) ?? "todo";
  const setTab = (one: Tab) => go(one === "todo" ? "/labels" : `/labels/${one}`);
  const engineer = useIsEngineer();
  const tasks = useLabelTasks(tab === "done" || tab === "cancelled" ? tab : "pushed");
  const unsent = useLabelTasks("open");
  const items = [...(tasks.data?.items ?? []), ...(tab === "todo" ? (unsent.data?.items ?? []) : [])].sort(byUrgency);
  const words = text.label;
  const done = tab === "done" && engineer; // who may label it next is not to know what others drew
  return (
    <div className="page">
      <header className="page-head">
        <h1>{words.title}</h1>
        {tab === "quality" && <TakeAway csv="/api/v1/labels/quality.csv" />}
        {tab !== "book" && tab !== "disputes" && tab !== "quality" && tab !== "data" && <TakeAway csv={labelTasksCsv(tab === "todo" ? ["pushed", "open"] : [tab])} />}
      </header>
      <Away />
      <SegmentedControl className="label-tabs" value={tab} onChange={(value) => setTab(value as Tab)} aria-label={words.which}
        data={[{ value: "todo", label: words.todo }, ...(["done", "cancelled"] as const).map((value) => ({ value, label: words.state[value] })), { value: "disputes", label: words.disputes }, { value: "book", label: words.book }, ...(engineer ? [{ value: "quality", label: words.quality }] : []), { value: "data", label: desk.data.tab }]} />
      {tab === "data" ? <DataSets /> : tab === "quality" ? <Quality /> : tab === "book" ? <Book /> : tab === "disputes" ? <Disputes /> : waiting(tasks) ??
        waiting(unsent) ??
        (items.length === 0 ? (
          <Empty title={tab === "todo" ? words.empty : words.none[tab as "done" | "cancelled"]}>{words.emptyHelp}</Empty>
        ) : (
          <table className="table">
            <ColumnHeads names={[words.head.what, words.head.part, words.head.why, done ? words.head.drawn : words.head.urgency, words.head.since, words.head.link]} />
            <tbody>
              {items.map((task) => (
                <tr key={task.id}>
                  <td>
                    <TaskPicture task={task} />
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
                    <p className="quiet task-why">{words.reasonHelp[task.reason]}</p>
                    {task.why && (
                      <p className="quiet task-why">
                        <Served text={task.why} />
                      </p>
                    )}
                    {whys(task).length > 0 && (
                      <ul className="task-whys">
                        {whys(task).map(({ name, value }) => (
                          <li key={name}>
                            <meter min={0} max={1} value={value} aria-label={words.why[name]} /> {words.why[name]}
                          </li>
                        ))}
                      </ul>
                    )}
                    {task.shown && partly(task.shown) && <div className="quiet">{partly(task.shown)}</div>}
                    {task.problem && <div className="problem">{task.problem}</div>}
                  </td>
                  <td>{done ? <Drawn task={task} /> : <Urgency task={task} />}</td>
                  <td>{ago(task.closed_at ?? task.opened_at, Date.now())}</td>
                  <td className="task-ways">
                    {task.url ? (
                      <a href={task.url} target="_blank" rel="noreferrer">
                        {words.openStudio}
                      </a>
                    ) : (
                      <span className="quiet">{words.state[task.state]}</span>
                    )}
                    {task.state === "done" && engineer && <Golden task={task} />}
                    {task.state === "done" && <Propose task={task} />}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        ))}
    </div>
  );
}

function Urgency({ task }: { task: LabelTask }) {
  return (
    <>
      {fixed(task.urgency, 2)}
      {task.cost_s !== null && <div className="quiet">{text.label.cost({ time: task.cost_s < MINUTES_FROM_S ? seconds(task.cost_s) : duration(task.cost_s / 60) })}</div>}
    </>
  );
}

/** Who drew what on it, the last first. */
function Drawn({ task }: { task: LabelTask }) {
  return task.drawn.map(({ by, drawn }) => (
    <div key={by}>
      {drawn ? counted(drawn) : "–"}
      <div className="quiet">{by}</div>
    </div>
  ));
}
