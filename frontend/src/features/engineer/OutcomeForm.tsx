import { Button, Checkbox, NativeSelect, TextInput } from "@mantine/core";
import { useState } from "react";
import { useTellOutcome } from "../../api/processes";
import type { Process, Recommendation } from "../../api/words";
import { text } from "../../text";
import { words } from "../../text/desk";
import { find } from "./readings";

type Props = { recommendation: Recommendation; process: Process; name: string };

/** What was done with a part and what came of it, told by a person where the line tells no outcomes. It counts once. */
export function OutcomeForm({ recommendation: { part, at, request, answer }, process, name }: Props) {
  const [fate, setFate] = useState<"finished" | "scrapped">(answer.decision === "scrap" ? "scrapped" : "finished");
  const [step, setStep] = useState(at);
  const [followed, setFollowed] = useState(true);
  const [typed, setTyped] = useState<Record<string, string>>({});
  const tell = useTellOutcome(name);
  const said = words.outcome;
  const ahead = process.steps.slice(process.steps.findIndex((one) => one.name === at)).map((one) => one.name);
  const read = Object.fromEntries(Object.entries(typed).filter(([, value]) => value.trim() !== "").map(([reading, value]) => [reading, Number(value)]));
  const send = () =>
    tell.mutate({
      part,
      ...(request.batch ? { batch: request.batch } : {}),
      disposition: fate,
      ...(fate === "scrapped" ? { scrapped_at: step } : {}),
      assignment: followed ? "recommendation" : "operator",
      observed: { ...request.observed, ...(followed ? answer.settings : {}), ...(fate === "finished" ? read : {}) },
    });
  return (
    <details className="panel">
      <summary>{said.title}</summary>
      <form className="alarm-answer" aria-label={said.title} onSubmit={(event) => (event.preventDefault(), send())}>
        <p className="quiet">{said.help}</p>
        <div className="inline">
          <NativeSelect label={said.what} value={fate} data={[{ value: "finished", label: said.finished }, { value: "scrapped", label: said.scrapped }]} onChange={(event) => setFate(event.currentTarget.value as typeof fate)} />
          {fate === "scrapped" && <NativeSelect label={said.step} value={step} data={ahead} onChange={(event) => setStep(event.currentTarget.value)} />}
          {fate === "finished" &&
            process.conformance.map((reading) => (
              <TextInput key={reading} type="number" step="any" w={170} label={`${reading} ${find(process, reading)?.measurement?.unit ?? ""}`} value={typed[reading] ?? ""}
                onChange={(event) => setTyped({ ...typed, [reading]: event.currentTarget.value })} />
            ))}
        </div>
        <Checkbox label={said.followed} checked={followed} onChange={(event) => setFollowed(event.currentTarget.checked)} />
        <div className="reason-buttons">
          <Button type="submit" color="dark" loading={tell.isPending}>
            {said.tell}
          </Button>
        </div>
        {tell.error && (
          <p role="alert" className="problem">
            <strong>{text.inspect.notStored}</strong> {tell.error.message}
          </p>
        )}
      </form>
    </details>
  );
}
