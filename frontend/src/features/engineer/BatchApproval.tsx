import { Button, TextInput } from "@mantine/core";
import { useState } from "react";
import { useBatchApproval } from "../../api/batches";
import { useIsEngineer } from "../../api/session";
import { text } from "../../text";
import { words } from "../../text/desk";

/** One word, with its risk, on the rework of every part of the batch that waits for one. */
export function BatchApproval({ name, batch, waiting }: { name: string; batch: string; waiting: number }) {
  const [risk, setRisk] = useState("");
  const approval = useBatchApproval(name, batch);
  const may = useIsEngineer();
  const said = risk.trim();
  const send = (answer: "approved" | "declined") => said && approval.mutate({ answer, risk: said }, { onSuccess: () => setRisk("") });
  if (waiting === 0) return approval.data ? <p role="status">{words.batch.approved({ count: approval.data.parts.length })}</p> : null;
  return (
    <section className="panel permission no-print" data-state="waiting" aria-label={text.permission.title}>
      <h2>{text.permission.title}</h2>
      <p>{words.batch.permission({ count: waiting })}</p>
      {!may && <p className="quiet">{text.permission.engineersOnly}</p>}
      {may && (
        <form className="alarm-answer" onSubmit={(event) => (event.preventDefault(), send("approved"))}>
          <TextInput label={text.permission.risk} placeholder={text.permission.riskExample} value={risk} maxLength={2000} onChange={(event) => setRisk(event.currentTarget.value)} />
          <div className="reason-buttons">
            <Button type="submit" color="dark" disabled={!said || approval.isPending}>
              {words.batch.approveAll}
            </Button>
            <Button variant="default" disabled={!said || approval.isPending} onClick={() => send("declined")}>
              {words.batch.declineAll}
            </Button>
          </div>
          {approval.error && (
            <p role="alert" className="problem">
              <strong>{text.inspect.notStored}</strong> {approval.error.message}
            </p>
          )}
        </form>
      )}
    </section>
  );
}
