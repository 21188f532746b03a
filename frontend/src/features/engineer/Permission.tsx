import { Button, TextInput } from "@mantine/core";
import { useState } from "react";
import { useApproval } from "../../api/processes";
import { useIsEngineer } from "../../api/session";
import type { Recommendation } from "../../api/words";
import { text } from "../../text";
import { dayAndTime } from "../../ui/format";

type Props = { recommendation: Recommendation; process: string; newest: boolean };

/** Rework that needs permission: what people said about it, and, for an engineer, the place to say it. */
export function Permission({ recommendation, process, newest }: Props) {
  const { permission, outcome } = recommendation;
  const may = useIsEngineer();
  const words = text.permission;
  if (permission.state === "not needed") return null;
  const open = newest && outcome === null;
  return (
    <section className="permission" data-state={permission.state} aria-label={words.title}>
      <h3>{words.title}</h3>
      <p>
        <strong>{words.state[permission.state]}</strong> {permission.state === "waiting" && words.before({ steps: permission.steps.join(", ") })}
      </p>
      <ul className="readings">
        {permission.said.map((word) => (
          <li key={word.at}>
            <strong>{words.said[word.answer]}</strong> {word.by}, {dayAndTime(word.at)}: {word.risk}
          </li>
        ))}
      </ul>
      {open && (may ? <Answer id={recommendation.id} process={process} approved={permission.state === "approved"} /> : <p className="quiet">{words.engineersOnly}</p>)}
    </section>
  );
}

function Answer({ id, process, approved }: { id: string; process: string; approved: boolean }) {
  const [risk, setRisk] = useState("");
  const approval = useApproval(process);
  const words = text.permission;
  const said = risk.trim();
  const send = (answer: "approved" | "declined") => said && approval.mutate({ id, answer, risk: said }, { onSuccess: () => setRisk("") });
  return (
    <form
      className="alarm-answer"
      onSubmit={(event) => {
        event.preventDefault();
        if (!approved) send("approved");
      }}
    >
      <TextInput label={words.risk} placeholder={words.riskExample} value={risk} maxLength={2000}
        onChange={(event) => setRisk(event.currentTarget.value)} />
      <div className="reason-buttons">
        {!approved && (
          <Button type="submit" color="dark" disabled={!said || approval.isPending}>
            {words.approve}
          </Button>
        )}
        <Button variant="default" disabled={!said || approval.isPending} onClick={() => send("declined")}>
          {words.decline}
        </Button>
      </div>
      {approval.error && (
        <p role="alert" className="problem">
          <strong>{text.inspect.notStored}</strong> {approval.error.message}
        </p>
      )}
    </form>
  );
}
