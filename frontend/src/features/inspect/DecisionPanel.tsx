import { Button, TextInput } from "@mantine/core";
import { useEffect, useState } from "react";
import type { Word } from "../../api/outbox";
import type { Inspection } from "../../api/words";
import { text } from "../../text";
import { clock } from "../../ui/format";
import { VerdictMark } from "../../ui/VerdictMark";

type Answer = "ok" | "ng";

/** What one key means for a verdict: agreeing repeats it; in the review band A is "it is OK" and O "it is not good". */
export const meaning = (verdict: Inspection["verdict"]): { agree: Answer; overrule: Answer } =>
  verdict === "ng" ? { agree: "ng", overrule: "ok" } : { agree: "ok", overrule: "ng" };

type Props = {
  inspection: Inspection;
  /** What was said of it and waits on this computer. */
  kept: Word | undefined;
  asking: boolean;
  setAsking: (yes: boolean) => void;
  agree: () => void;
  overrule: (reason: string) => void;
  sending: boolean;
  problem: string | null;
};

export function DecisionPanel({ inspection, kept, asking, setAsking, agree, overrule, sending, problem }: Props) {
  const [again, setAgain] = useState(false);
  useEffect(() => setAgain(false), [inspection.id, inspection.decision?.at, kept?.id]);
  const words = text.inspect;
  const { decision, label_task: task } = inspection;
  const means = meaning(inspection.verdict);
  const doubtful = inspection.verdict === "review";
  return (
    <section className="decide" aria-label={words.decide}>
      {problem && (
        <p role="alert" className="problem">
          <strong>{words.notStored}</strong> {problem}
        </p>
      )}
      {kept && !again && !asking ? (
        <div className="decided" role="status" data-kept="true">
          <VerdictMark verdict={kept.verdict} size={26} />
          <div>
            <strong>{words.kept({ word: text.verdict[kept.verdict] })}</strong>
            <span className="quiet">{kept.reason}</span>
          </div>
          <Button variant="subtle" color="gray" size="xs" onClick={() => setAgain(true)}>
            {words.again}
          </Button>
        </div>
      ) : decision && !again && !asking ? (
        <div className="decided" role="status">
          <VerdictMark verdict={decision.verdict} size={26} />
          <div>
            <strong>{words.decided({ word: text.verdict[decision.verdict], by: decision.by })}</strong>
            <span className="quiet">
              {clock(decision.at)}
              {decision.reason && ` · ${decision.reason}`}
            </span>
          </div>
          <Button variant="subtle" color="gray" size="xs" onClick={() => setAgain(true)}>
            {words.again}
          </Button>
        </div>
      ) : asking ? (
        <Reason word={means.overrule} send={overrule} cancel={() => setAsking(false)} sending={sending} />
      ) : inspection.progress !== "done" ? null : (
        <div className="decide-buttons">
          <Button size="lg" variant="filled" color="dark" disabled={sending} onClick={agree}>
            {doubtful ? words.accept : words.agree({ word: text.verdict[means.agree] })} <kbd>A</kbd>
          </Button>
          <Button size="lg" variant="default" disabled={sending} onClick={() => setAsking(true)}>
            {doubtful ? words.refuse : words.overrule({ word: text.verdict[means.overrule] })} <kbd>O</kbd>
          </Button>
        </div>
      )}
      {task && (
        <p className="task">
          {words.task}: {text.taskState[task.state as keyof typeof text.taskState] ?? task.state}
          {task.url && (
            <>
              {" · "}
              <a href={task.url} target="_blank" rel="noreferrer">
                {words.openTask}
              </a>
            </>
          )}
        </p>
      )}
    </section>
  );
}

function Reason(props: { word: Answer; send: (reason: string) => void; cancel: () => void; sending: boolean }) {
  const [own, setOwn] = useState("");
  const choices = text.inspect.reasons[props.word];
  return (
    <form
      className="reason"
      onSubmit={(event) => {
        event.preventDefault();
        if (own.trim()) props.send(own.trim());
      }}
      onKeyDown={(event) => {
        if (event.key === "Escape") props.cancel();
        const choice = choices[Number(event.key) - 1];
        if (choice && !own) {
          event.preventDefault();
          props.send(choice);
        }
      }}
    >
      <h3>{text.inspect.reasonTitle[props.word]}</h3>
      {choices.map((choice, place) => (
        <Button key={choice} variant="default" size="sm" px="xs" justify="space-between" disabled={props.sending}
          rightSection={<kbd>{place + 1}</kbd>} onClick={() => props.send(choice)}>
          {choice}
        </Button>
      ))}
      <TextInput aria-label={text.inspect.reasonOther} placeholder={text.inspect.reasonOther} value={own} maxLength={500}
        onChange={(event) => setOwn(event.currentTarget.value)} data-autofocus autoFocus />
      <div className="reason-buttons">
        <Button type="submit" size="sm" color="dark" disabled={!own.trim() || props.sending}>
          {props.sending ? text.inspect.sending : text.inspect.send}
        </Button>
        <Button size="sm" variant="subtle" color="gray" onClick={props.cancel}>
          {text.inspect.cancel}
        </Button>
      </div>
    </form>
  );
}
