import { NativeSelect } from "@mantine/core";
import { useLocation } from "wouter";
import { processCsv } from "../../api/batches";
import { useCapability, useExploring, useLevers, useProcess, useProcesses, usePromises, useWorth } from "../../api/processes";
import type { Process } from "../../api/words";
import { text } from "../../text";
import { change, shortId } from "../../ui/format";
import { waiting } from "../../ui/States";
import { TakeAway } from "../../ui/TakeAway";
import { CapabilityPanel } from "./CapabilityPanel";
import { type Known, known } from "./known";
import { LeverForest, UnknownLevers } from "./Levers";
import { NoProcess } from "./NoProcess";
import { Panel } from "./Panel";
import { PromisesPanel } from "./PromisesPanel";
import { Tabs } from "./Tabs";
import { ExploringPanel, TrialResult, TrialRule } from "./Trial";

/** A process: what its settings do, whether promises hold, how capable it is, and whether advice is worth its money. */
export function ProcessPage({ name: wanted }: { name?: string | undefined }) {
  const [, go] = useLocation();
  const processes = useProcesses();
  const name = wanted ?? processes.data?.items[0]?.name;
  const process = useProcess(name);
  const state = waiting(processes) ?? (name === undefined ? null : waiting(process));
  if (state) return state;
  if (name === undefined || !process.data) return <NoProcess />;
  const told = known(process.data.report);
  const words = text.process;
  return (
    <div className="page process">
      <Tabs at="process" name={name} />
      <header>
        <h1>{name}</h1>
        <span className="quiet">{[told.parts !== null && words.fitted({ parts: told.parts }), text.everywhere.model({ id: shortId(process.data.model) })].filter(Boolean).join(", ")}</span>
        {(processes.data?.items.length ?? 0) > 1 && (
          <NativeSelect size="xs" aria-label={words.choose} value={name} data={(processes.data?.items ?? []).map((item) => item.name)}
            onChange={(event) => go(`/engineer/process/${event.currentTarget.value}`)} />
        )}
        <TakeAway csv={processCsv(name, "levers")} />
      </header>
      <Panels key={name} name={name} process={process.data.process} told={told} report={process.data.report} />
    </div>
  );
}

type Props = { name: string; process: Process; told: Known; report: Readonly<Record<string, unknown>> };

function Panels({ name, process, told, report }: Props) {
  const levers = useLevers(name);
  const promises = usePromises(name);
  const capability = useCapability(name);
  const exploring = useExploring(name);
  const rule = process.serving?.trial;
  const worth = useWorth(name, rule !== undefined);
  const words = text.process;
  return (
    <div className="panels">
      <div className="panels-wide">
        <Panel title={words.levers} help={words.leversHelp} asked={levers} show={(data) => <LeverForest levers={data} process={process} />} />
        <Panel title={words.unknown} asked={levers} show={(data) => <UnknownLevers levers={data} process={process} />} />
      </div>
      <div>
        <Panel title={words.capability} asked={capability} show={(data) => <CapabilityPanel told={data} conformance={process.conformance} />} />
      </div>
      <div>
        <Panel title={words.promises} asked={promises} show={(data) => <PromisesPanel promises={data} coverage={told.coverage} />} />
        <section className="panel" aria-label={words.worth}>
          <h2>{words.worth}</h2>
          <TrialRule rule={rule} currency={process.currency} />
          {rule && (worth.data ? <TrialResult worth={worth.data} /> : waiting(worth))}
        </section>
        <Panel title={words.exploring} asked={exploring} show={(data) => <ExploringPanel told={data} currency={process.currency} />} />
        <Drifting told={told} />
        <Refutation report={report} />
      </div>
    </div>
  );
}

function Drifting({ told }: { told: Known }) {
  const words = text.process;
  return (
    <section className="panel" aria-label={words.drifting}>
      <h2>{words.drifting}</h2>
      <p className="quiet">{told.drifting.length === 0 ? words.noDrift : words.driftHelp}</p>
      <ul className="names">
        {told.drifting.map(({ step, acts }) => (
          <li key={step}>
            <strong>{step}</strong> {acts.map(({ name, by }) => `${name} ${change(by)}`).join(", ")}
          </li>
        ))}
      </ul>
    </section>
  );
}

type Attempt = { name: string; question: string; words: string; passed: boolean };

/** What was tried to show that the effects are none, as the fit's report has it. */
function Refutation({ report }: { report: Props["report"] }) {
  const words = text.process;
  const attempts = Array.isArray(report["refutation"]) ? (report["refutation"] as Attempt[]) : [];
  return (
    <section className="panel" aria-label={words.refuted}>
      <h2>{words.refuted}</h2>
      {attempts.length === 0 && <p className="quiet">{words.noRefutation}</p>}
      <ul className="readings">
        {attempts.map((attempt) => (
          <li key={attempt.name}>
            <strong className={attempt.passed ? undefined : "beyond"}>{attempt.passed ? words.refutedHeld : words.refutedFailed}</strong> {attempt.question}{" "}
            <span className="quiet">{attempt.words}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
