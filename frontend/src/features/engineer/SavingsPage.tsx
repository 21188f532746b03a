import { NativeSelect } from "@mantine/core";
import { useLocation } from "wouter";
import { processCsv } from "../../api/batches";
import { useCapability, useProcess, useProcesses, useSummary, useWorth } from "../../api/processes";
import type { BeforeAndAfter, Capability, Process } from "../../api/words";
import { percentScale, rangeWithZero } from "../../geometry/scale";
import { text } from "../../text";
import { words } from "../../text/desk";
import { money, percent } from "../../ui/format";
import { waiting } from "../../ui/States";
import { TakeAway } from "../../ui/TakeAway";
import { CapabilityPanel } from "./CapabilityPanel";
import { NoProcess } from "./NoProcess";
import { Panel } from "./Panel";
import { SummaryCards } from "./SummaryCards";
import { Tabs } from "./Tabs";
import { TrialResult, TrialRule } from "./Trial";

/** What poor quality costs and what the advice brought, before and after, from recorded outcomes. */
export function SavingsPage({ name: wanted }: { name?: string | undefined }) {
  const [, go] = useLocation();
  const processes = useProcesses();
  const name = wanted ?? processes.data?.items[0]?.name;
  const process = useProcess(name);
  const state = waiting(processes) ?? (name === undefined ? null : waiting(process));
  if (state) return state;
  if (name === undefined || !process.data) return <NoProcess />;
  return (
    <div className="page savings">
      <Tabs at="savings" name={name} />
      <header className="page-head">
        <div>
          <h1>
            {words.savings.title}: {name}
          </h1>
          <p className="quiet">{words.savings.help}</p>
        </div>
        {(processes.data?.items.length ?? 0) > 1 && (
          <NativeSelect size="xs" className="no-print" aria-label={words.tabs.process} value={name} data={(processes.data?.items ?? []).map((item) => item.name)}
            onChange={(event) => go(`/engineer/savings/${encodeURIComponent(event.currentTarget.value)}`)} />
        )}
        <TakeAway csv={processCsv(name, "capability")} />
      </header>
      <Panels key={name} name={name} process={process.data.process} />
    </div>
  );
}

function Panels({ name, process }: { name: string; process: Process }) {
  const summary = useSummary(name);
  const capability = useCapability(name);
  const rule = process.serving?.trial;
  const worth = useWorth(name, rule !== undefined);
  return (
    <>
      <Panel title={words.savings.saved} asked={summary} show={(told) => (told.recommended === 0 ? <p>{words.savings.none}</p> : <SummaryCards summary={told} />)} />
      <div className="batch-columns">
        <Panel title={words.savings.poor} help={words.savings.poorHelp} asked={capability} show={(told) => <Poor told={told} />} />
        <Panel title={words.savings.yields} asked={capability} show={(told) => <Yields told={told} />} />
      </div>
      <section className="panel" aria-label={text.process.worth}>
        <h2>{text.process.worth}</h2>
        <TrialRule rule={rule} currency={process.currency} />
        {rule && (worth.data ? <TrialResult worth={worth.data} /> : waiting(worth))}
      </section>
      <Panel title={words.savings.readings} asked={capability} show={(told) => <CapabilityPanel told={told} conformance={process.conformance} />} />
    </>
  );
}

const groups = (told: BeforeAndAfter): [string, Capability][] =>
  ([[text.process.before, told.before], [text.process.after, told.after], [text.process.others, told.others]] as const).flatMap(([name, of]) => (of ? [[name, of]] : []));

/** What a part loses to poor quality, one bar for each group of parts. */
function Poor({ told }: { told: BeforeAndAfter }) {
  const known = groups(told).flatMap(([name, of]) => (of.poor_quality === null ? [] : [{ name, lost: of.poor_quality, parts: of.parts }]));
  const at = percentScale(rangeWithZero(known.map((one) => one.lost)));
  const [before, after] = [told.before?.poor_quality, told.after?.poor_quality];
  const saved = before != null && after != null ? before - after : null;
  return (
    <>
      <table className="bars">
        <tbody>
          {known.map((one) => (
            <tr key={one.name}>
              <th scope="row">
                {one.name} <span className="quiet">{text.process.partCount({ count: one.parts })}</span>
              </th>
              <td className="bar-cell">
                <span className="bar" style={{ left: 0, width: `${at(one.lost)}%` }} />
              </td>
              <td className="bar-figure">{money(one.lost, told.currency)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {saved !== null && <p>{saved >= 0 ? words.savings.change({ money: money(saved, told.currency) }) : words.savings.worse({ money: money(-saved, told.currency) })}</p>}
      {told.after === null && <p className="quiet">{words.savings.none}</p>}
    </>
  );
}

/** Rolled throughput yield and what ended within specification, each as a bar from nothing to all. */
function Yields({ told }: { told: BeforeAndAfter }) {
  const rows: [string, (of: Capability) => number | null][] = [
    [text.process.rolled, (of) => of.rolled_yield],
    [text.process.first, (of) => of.first_yield],
  ];
  return (
    <table className="bars">
      <tbody>
        {rows.flatMap(([title, of]) =>
          groups(told).map(([name, group]) => {
            const share = of(group);
            return (
              <tr key={`${title} ${name}`}>
                <th scope="row">
                  {title} <span className="quiet">{name}</span>
                </th>
                <td className="bar-cell">{share !== null && <span className="bar" style={{ left: 0, width: `${100 * share}%` }} />}</td>
                <td className="bar-figure">{share === null ? "–" : percent(share)}</td>
              </tr>
            );
          }),
        )}
      </tbody>
    </table>
  );
}
