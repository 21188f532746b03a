import { Button, TextInput } from "@mantine/core";
import { useState } from "react";
import { type BatchDecision, type BatchTaken, useBatchWord } from "../../api/batches";
import { useIsEngineer } from "../../api/session";
import { text } from "../../text";
import { words } from "../../text/desk";
import { dayAndTime, money } from "../../ui/format";

/** An engineer takes the one decision as it stands on the page, with a reason; parts that differ keep their own advice on wish. */
export function BatchWord({ name, batch, decision }: { name: string; batch: string; decision: BatchDecision }) {
  const [reason, setReason] = useState("");
  const [apart, setApart] = useState(true);
  const word = useBatchWord(name, batch);
  const may = useIsEngineer();
  const differ = decision.parts.filter((part) => part.apart).length;
  const left = decision.parts.length - (apart ? differ : 0);
  const ready = left > 0 && reason.trim() !== "" && !word.isPending;
  const send = () => ready && word.mutate({ at: decision.at, seen: decision.seen, apart, reason: reason.trim() }, { onSuccess: () => setReason("") });
  const said = words.batchWord;
  return (
    <section className="panel no-print" aria-label={said.title}>
      <h2>{said.title}</h2>
      {!may && <p className="quiet">{text.permission.engineersOnly}</p>}
      {may && (
        <form className="alarm-answer" onSubmit={(event) => (event.preventDefault(), send())}>
          <p>{left > 0 ? said.about({ count: left, decision: words.batch.decision[decision.decision] }) : said.nothingLeft}</p>
          {differ > 0 && (
            <label className="what-if-run">
              <input type="checkbox" checked={apart} onChange={(event) => setApart(event.currentTarget.checked)} /> {said.leave({ count: differ })}
            </label>
          )}
          <TextInput label={said.reason} placeholder={said.example} value={reason} maxLength={2000} onChange={(event) => setReason(event.currentTarget.value)} />
          <div className="reason-buttons">
            <Button type="submit" color="dark" disabled={!ready}>
              {said.take}
            </Button>
          </div>
        </form>
      )}
      {word.data && <p role="status">{said.taken({ count: word.data.parts.length })}</p>}
      {word.error && (
        <p role="alert" className="problem">
          <strong>{text.inspect.notStored}</strong> {word.error.message}
        </p>
      )}
    </section>
  );
}

/** Decisions that people took for the batch, the newest first, and what came of their parts. */
export function WordsTaken({ taken }: { taken: readonly BatchTaken[] }) {
  if (taken.length === 0) return null;
  const said = words.batchWord;
  return (
    <section className="panel" aria-label={said.before}>
      <h2>{said.before}</h2>
      <ul className="readings">
        {taken.map((one) => (
          <li key={one.id}>
            <strong>{words.batch.plan[one.plan.plan]}</strong> {one.by}, {dayAndTime(one.decided_at)}: “{one.reason}”
            <div className="quiet">
              {said.parts({ count: one.parts.length, step: one.at })}
              {one.brought.recommended > 0 && ` · ${said.brought({ n: one.brought.followed, all: one.brought.recommended, money: money(one.brought.money.saved_against_scrapping, one.brought.money.currency) })}`}
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}
