import { NativeSelect } from "@mantine/core";
import { useState } from "react";
import { useLocation } from "wouter";
import { processCsv } from "../../api/batches";
import { useProcess, useProcesses, useRecommendations, useSummary } from "../../api/processes";
import type { Decision, Recommendation } from "../../api/words";
import { text } from "../../text";
import { clock, money, percent } from "../../ui/format";
import { Empty, waiting } from "../../ui/States";
import { TakeAway } from "../../ui/TakeAway";
import { useKeys } from "../../ui/useKeys";
import { DecisionMark } from "./DecisionMark";
import { Detail } from "./Detail";
import { known } from "./known";
import { KnownPanel } from "./KnownPanel";
import { NoProcess } from "./NoProcess";
import { SummaryCards } from "./SummaryCards";
import { Tabs } from "./Tabs";

const DECISIONS: Decision[] = ["correct", "scrap", "measure", "abstain", "continue"];

/** A part may be asked about at several steps; the list shows each part once, by its newest plan. */
function newestOfEachPart(items: readonly Recommendation[]): Recommendation[] {
  const seen = new Set<string>();
  return items.filter((item) => !seen.has(item.part) && seen.add(item.part));
}

/** Parts out of their specification, with what to do about each. */
export function EngineerPage({ id }: { id?: string | undefined }) {
  const [, go] = useLocation();
  const [wanted, setWanted] = useState<string>();
  const [decision, setDecision] = useState<Decision | "">("");
  const processes = useProcesses();
  const name = wanted ?? processes.data?.items[0]?.name;
  const process = useProcess(name);
  const list = useRecommendations(name, decision || undefined);
  const summary = useSummary(name);
  const items = list.data ?? [];
  const parts = newestOfEachPart(items);
  const shown = items.find((item) => item.id === id) ?? items[0];
  const step = (by: number) => {
    const next = parts[parts.findIndex((item) => item.part === shown?.part) + by];
    if (next) go(`/engineer/${next.id}`, { replace: true });
  };
  useKeys({ ArrowDown: () => step(1), ArrowUp: () => step(-1) });

  const state = waiting(processes) ?? (name === undefined ? null : (waiting(process) ?? waiting(list)));
  if (state) return state;
  if (name === undefined) return <NoProcess />;
  const words = text.engineer;
  return (
    <div className="engineer">
      <div className="engineer-tabs">
        <Tabs at="parts" name={name} />
        <TakeAway csv={processCsv(name, "recommendations", decision ? { decision } : {})} />
      </div>
      {summary.data && <SummaryCards summary={summary.data} />}
      {process.data && <KnownPanel name={process.data.name} report={process.data.report} />}
      <div className="engineer-body">
        <section className="list" aria-label={words.list}>
          <div className="list-head">
            <NativeSelect size="xs" aria-label={words.process} value={name} data={(processes.data?.items ?? []).map((item) => item.name)}
              onChange={(event) => setWanted(event.currentTarget.value)} />
            <NativeSelect size="xs" aria-label={words.whichDecision} value={decision} onChange={(event) => setDecision(event.currentTarget.value as Decision | "")}
              data={[{ value: "", label: words.allDecisions }, ...DECISIONS.map((value) => ({ value, label: words.decision[value] }))]} />
          </div>
          <ul>
            {parts.map((item) => (
              <li key={item.id}>
                <button type="button" className="row" aria-current={item.part === shown?.part} onClick={() => go(`/engineer/${item.id}`, { replace: true })}>
                  <span className="row-text">
                    <strong>{item.part}</strong>
                    <span>
                      {item.at} · {clock(item.asked_at)}
                    </span>
                  </span>
                  <span className="row-verdict">
                    <DecisionMark decision={item.answer.decision} />
                    <span>
                      {item.answer.p_conform !== null && percent(item.answer.p_conform)}
                      {item.answer.expected_value !== null && ` · ${money(item.answer.expected_value, process.data?.process.currency ?? "")}`}
                    </span>
                  </span>
                </button>
              </li>
            ))}
          </ul>
        </section>
        {shown && process.data ? (
          <Detail recommendation={shown} process={process.data.process} name={process.data.name} all={items.filter((item) => item.part === shown.part)}
            unknown={known(process.data.report).notIdentified} choose={(chosen) => go(`/engineer/${chosen}`, { replace: true })} />
        ) : (
          <Empty title={words.emptyTitle}>{words.empty}</Empty>
        )}
      </div>
    </div>
  );
}
