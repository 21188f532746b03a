import { Button } from "@mantine/core";
import { useEffect, useState } from "react";
import { type Word, verdictOf } from "../../api/outbox";
import type { Inspection } from "../../api/words";
import { text } from "../../text";
import { clock } from "../../ui/format";
import { Reason } from "../../ui/Reason";
import { left, useServerTime } from "../../ui/time";
import { VerdictMark } from "../../ui/VerdictMark";
import { CallNote } from "./CallNote";
import { undoable } from "./undoable";

type Answer = "ok" | "ng";

/** What one key means for a verdict: agreeing repeats it; in the review band A is "it is OK" and O "it is not good". */
export const meaning = (verdict: Inspection["verdict"]): { agree: Answer; overrule: Answer } =>
  verdict === "ng" ? { agree: "ng", overrule: "ok" } : { agree: "ok", overrule: "ng" };

type Props = {
  inspection: Inspection;
  /** What was said of it and waits on this computer, oldest first. */
  kept: readonly Word[];
  /** Who is logged in. */
  by: string;
  asking: boolean;
  setAsking: (yes: boolean) => void;
  agree: () => void;
  overrule: (reason: string) => void;
  call: () => void;
  undo: () => void;
  sending: boolean;
  problem: string | null;
};

export function DecisionPanel({ inspection, kept, by, asking, setAsking, agree, overrule, call, undo, sending, problem }: Props) {
  const [again, setAgain] = useState(false);
  const waits = kept.at(-1);
  useEffect(() => setAgain(false), [inspection.id, inspection.decision?.at, waits?.id]);
  const words = text.inspect;
  const { label_task: task } = inspection;
  const takenBack = waits?.kind === "undo" || waits?.kind === "withdraw";
  const said = waits && verdictOf(waits);
  const decision = takenBack || waits?.kind === "call" ? null : inspection.decision;
  const now = useServerTime(decision?.by === by);
  const back = undoable(inspection, kept, by, now);
  const takeBack = back && (
    <Button variant="subtle" color="gray" size="xs" disabled={sending} onClick={undo}>
      {words.undo} <kbd>U</kbd>
      {back.until && <span className="quiet"> {left(back.until, now)}</span>}
    </Button>
  );
  const means = meaning(inspection.verdict);
  const doubtful = inspection.verdict === "review";
  const decided = (said ?? decision) && !again && !asking;
  return (
    <section className="decide" aria-label={words.decide}>
      {problem && (
        <p role="alert" className="problem">
          <strong>{words.notStored}</strong> {problem}
        </p>
      )}
      {takenBack && <p role="status">{words.takenBack}</p>}
      {!decided && <CallNote inspection={inspection} kept={waits?.kind === "call"} withdrawn={takenBack} />}
      {decided && said ? (
        <div className="decided" role="status" data-kept="true">
          <VerdictMark verdict={said} size={26} />
          <div>
            <strong>{words.kept({ word: text.verdict[said] })}</strong>
            <span className="quiet">{waits?.reason}</span>
          </div>
          <Button variant="subtle" color="gray" size="xs" onClick={() => setAgain(true)}>
            {words.again}
          </Button>
        </div>
      ) : decided && decision ? (
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
          {!decision && !said && inspection.call?.state !== "open" && waits?.kind !== "call" && (
            <Button size="md" variant="default" disabled={sending} onClick={call}>
              {words.call} <kbd>C</kbd>
            </Button>
          )}
        </div>
      )}
      {takeBack}
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
