import { Button } from "@mantine/core";
import { useEffect, useMemo, useRef, useState } from "react";
import { wonder } from "../../api/processes";
import type { Expected, Process, Recommendation } from "../../api/words";
import { text } from "../../text";
import { change, figure } from "../../ui/format";
import { asWish, type Choice, choices, optionalAhead, type Wish } from "./ahead";
import { latest, type Line } from "./latest";
import { PlanTable } from "./PlanTable";
import { ReadingBands } from "./ReadingBands";

/** Settings shown at first: those that the advice moves, and a few more. */
const FIRST = 6;

/** How plans stand under each other: what one compares with first comes next. */
const ORDER = ["chosen", "recommended", "continue", "scrap"];

type Props = { recommendation: Recommendation; process: Process; name: string; unknown: readonly string[] };

/** Sliders for what may still be chosen, and where the part would go; asked only while it is open. */
export function WhatIf(props: Props) {
  const [open, setOpen] = useState(false);
  return (
    <details className="what-if panel" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{text.whatIf.title}</summary>
      {open && <Trying key={props.recommendation.id} {...props} />}
    </details>
  );
}

function Trying({ recommendation, process, name, unknown }: Props) {
  const { answer: advice, request } = recommendation;
  const words = text.whatIf;
  const [settings, setSettings] = useState<Record<string, number>>(advice.settings);
  const [run, setRun] = useState<string[]>(advice.run);
  const [all, setAll] = useState(false);
  const wish = useMemo(() => asWish(process, settings, run), [process, settings, run]);
  const { expected, problem } = useExpected(name, request, wish);
  const optional = optionalAhead(process, advice.at);
  const open = choices(process, advice, unknown).filter((one) => !optional.includes(one.step) || run.includes(one.step));
  if (open.length + optional.length === 0) return <p className="quiet">{words.none}</p>;
  const first = Math.max(FIRST, Object.keys(advice.settings).length);
  const told = (expected?.compared ?? []).toSorted((a, b) => ORDER.indexOf(a.plan) - ORDER.indexOf(b.plan));
  const plans = told.map((plan) => ({
    name: words.plan[plan.plan],
    chosen: plan.plan === "chosen",
    chance: plan.p_conform ?? null,
    interval: plan.p_conform_interval ?? null,
    value: plan.expected_value,
    minutes: plan.minutes ?? null,
  }));
  return (
    <>
      <p className="quiet">{words.help}</p>
      <div className="what-if-body">
        <div>
          <div className="reason-buttons">
            <Button size="xs" variant="default" onClick={() => (setSettings(advice.settings), setRun(advice.run))}>
              {words.advised}
            </Button>
            <Button size="xs" variant="default" onClick={() => (setSettings({}), setRun([]))}>
              {words.nominal}
            </Button>
          </div>
          {optional.map((step) => (
            <label key={step} className="what-if-run">
              <input type="checkbox" checked={run.includes(step)}
                onChange={(event) => setRun(event.currentTarget.checked ? [...run, step] : run.filter((one) => one !== step))} />
              {words.run} {step}
            </label>
          ))}
          {(all ? open : open.slice(0, first)).map((choice) => (
            <Slider key={choice.name} choice={choice} value={settings[choice.name] ?? choice.setting.nominal}
              set={(value) => setSettings((before) => ({ ...before, [choice.name]: value }))} />
          ))}
          {!all && open.length > first && (
            <Button variant="default" size="xs" onClick={() => setAll(true)}>
              {words.all({ n: open.length })}
            </Button>
          )}
        </div>
        <div aria-live="polite" data-answered={expected ? JSON.stringify(expected.settings) : undefined}>
          {problem && (
            <p role="alert" className="problem">
              <strong>{words.failed}</strong> {problem}
            </p>
          )}
          {expected && (
            <>
              <PlanTable plans={plans} currency={process.currency} />
              <ReadingBands path={expected.path} deciding={process.conformance} />
              {expected.notes.map((note) => (
                <p key={note} className="note">
                  {note}
                </p>
              ))}
            </>
          )}
        </div>
      </div>
    </>
  );
}

function Slider({ choice: { name, setting, known }, value, set }: { choice: Choice; value: number; set: (value: number) => void }) {
  return (
    <label className="slider">
      <span>
        {name} {!known && <span className="badge">{text.whatIf.unknown}</span>}
      </span>
      <output>
        {figure(value)} {setting.unit} <span className="quiet">{value === setting.nominal ? "" : change(value - setting.nominal)}</span>
      </output>
      <input type="range" min={setting.low} max={setting.high} step="any" value={value} aria-valuetext={`${figure(value)} ${setting.unit ?? ""}`}
        onChange={(event) => set(snapped(event.currentTarget.valueAsNumber, setting))} />
    </label>
  );
}

/** Near nominal it is nominal: a hand hits no value exactly. Less than a key moves it, a hundredth, or no key would leave nominal. */
function snapped(value: number, { low, high, nominal }: Choice["setting"]): number {
  return Math.abs(value - nominal) < (high - low) / 200 ? nominal : Number(value.toPrecision(4));
}

/** What the server says of the newest wish; the answer before stays until there is another. */
function useExpected(name: string, request: Recommendation["request"], wish: Wish): { expected?: Expected; problem?: string } {
  const [told, setTold] = useState<{ expected?: Expected; problem?: string }>({});
  const line = useRef<Line<Wish>>(null);
  useEffect(() => {
    const made = latest<Wish, Expected>(
      (one, signal) => wonder(name, { ...request, ...one }, signal),
      (expected) => setTold({ expected }),
      (error) => setTold((before) => ({ ...before, problem: error instanceof Error ? error.message : String(error) })),
    );
    line.current = made;
    return made.stop;
  }, [name, request]);
  useEffect(() => line.current?.wish(wish), [name, request, wish]);
  return told;
}
