import { Button } from "@mantine/core";
import { useId, useState } from "react";
import { type Dispute, useBookAction, useDisputes, type Voice } from "../../api/book";
import { useIsEngineer } from "../../api/session";
import { text } from "../../text";
import { ago } from "../../ui/format";
import { Served } from "../../ui/Served";
import { Empty, waiting } from "../../ui/States";
import { counted } from "./counted";

/** Where drawings contradict each other, side by side, and an engineer's word on it. */
export function Disputes() {
  const disputes = useDisputes();
  const state = waiting(disputes);
  if (state || !disputes.data) return state;
  const words = text.disputes;
  const { items, settled } = disputes.data;
  return (
    <div className="book">
      {items.length === 0 && <Empty title={words.none}>{words.noneHelp}</Empty>}
      {items.map((dispute) => (
        <OneDispute key={dispute.key} dispute={dispute} />
      ))}
      {settled.length > 0 && (
        <>
          <h2>{words.settled}</h2>
          <ul>
            {settled.map((ruling) => (
              <li key={`${ruling.part} ${ruling.at}`}>
                {ruling.part}: {ruling.annotation ? words.oneIsRight : words.allStand}
                {ruling.note && `, “${ruling.note}”`}, {ruling.by}, {ago(ruling.at, Date.now())}
              </li>
            ))}
          </ul>
        </>
      )}
    </div>
  );
}

function OneDispute({ dispute }: { dispute: Dispute }) {
  const engineer = useIsEngineer();
  const action = useBookAction();
  const [note, setNote] = useState("");
  const [example, setExample] = useState(true);
  const id = useId();
  const words = text.disputes;
  const settle = (voice: Voice | null) => {
    action.mutate({ kind: "settle", key: dispute.key, annotation: voice?.annotation ?? null, note, example: voice && example ? exampleOf(dispute, voice) : null });
  };
  return (
    <section className="model" aria-label={dispute.part}>
      <h2>
        <Served text={dispute.question} />
      </h2>
      {engineer && (
        <div className="book-answer">
          <label htmlFor={`${id}-note`}>{words.note}</label>
          <input id={`${id}-note`} maxLength={500} value={note} onChange={(event) => setNote(event.target.value)} />
          {dispute.kind === "people" && (
            <label>
              <input type="checkbox" checked={example} onChange={(event) => setExample(event.target.checked)} /> {words.becomes}
            </label>
          )}
        </div>
      )}
      <ul className="book-shelf" data-large="true">
        {dispute.voices.map((voice) => (
          <li key={voice.annotation}>
            <img src={voice.picture} alt={words.drewAlt({ by: voice.by, what: counted(voice.drawn) })} loading="lazy" />
            <strong>{voice.by}</strong>
            <span>
              {counted(voice.drawn)}
              {voice.view && ` · ${voice.view}`}
            </span>
            {voice.url && (
              <a href={voice.url} target="_blank" rel="noreferrer">
                {words.mend}
              </a>
            )}
            {engineer && dispute.kind === "people" && (
              <Button size="compact-sm" color="dark" disabled={action.isPending} onClick={() => settle(voice)}>
                {words.right({ by: voice.by })}
              </Button>
            )}
          </li>
        ))}
      </ul>
      {engineer && (
        <Button size="compact-sm" variant="default" disabled={action.isPending} onClick={() => settle(null)}>
          {words.stand}
        </Button>
      )}
      {action.error && <p role="alert" className="problem">{action.error.message}</p>}
    </section>
  );
}

/** What the right drawing teaches: this is the class; or, where it has none, what the others drew is no such thing. */
function exampleOf({ classes }: Dispute, voice: Voice): { class_name: string; shows: "is" | "is_not" } | null {
  const is = classes.find((name) => name in voice.drawn);
  if (is) return { class_name: is, shows: "is" };
  return classes[0] ? { class_name: classes[0], shows: "is_not" } : null;
}
