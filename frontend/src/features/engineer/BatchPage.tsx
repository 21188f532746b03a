import { NativeSelect } from "@mantine/core";
import { Link, useLocation } from "wouter";
import { useState } from "react";
import { type Batch, type BatchDecision, batchCsv, useBatch, useBatches } from "../../api/batches";
import { useProcess, useProcesses } from "../../api/processes";
import type { Process } from "../../api/words";
import { words } from "../../text/desk";
import { dayAndTime } from "../../ui/format";
import { Empty, waiting } from "../../ui/States";
import { TakeAway } from "../../ui/TakeAway";
import { BatchApproval } from "./BatchApproval";
import { BatchParts } from "./BatchParts";
import { BatchPlans, CommonSettings } from "./BatchPlans";
import { BatchWord, WordsTaken } from "./BatchWord";
import { leadingPlan } from "./leading";
import { NoProcess } from "./NoProcess";
import { SummaryCards } from "./SummaryCards";
import { Tabs } from "./Tabs";

const addressOf = (name: string, batch: string): string => `/engineer/batches/${encodeURIComponent(name)}/${encodeURIComponent(batch)}`;

/** Batches of parts in the making: one decision for all, its money and its chance, and which parts differ. */
export function BatchPage({ name: wanted, batch: chosen }: { name?: string | undefined; batch?: string | undefined }) {
  const [, go] = useLocation();
  const processes = useProcesses();
  const name = wanted ?? processes.data?.items[0]?.name;
  const process = useProcess(name);
  const batches = useBatches(name);
  const state = waiting(processes) ?? (name === undefined ? null : (waiting(process) ?? waiting(batches)));
  if (state) return state;
  if (name === undefined || !process.data) return <NoProcess />;
  const items = batches.data ?? [];
  const batch = chosen ?? items[0]?.batch;
  return (
    <div className="page batches">
      <Tabs at="batches" name={name} />
      {(processes.data?.items.length ?? 0) > 1 && (
        <NativeSelect size="xs" className="no-print" aria-label={words.tabs.process} value={name} data={(processes.data?.items ?? []).map((item) => item.name)}
          onChange={(event) => go(`/engineer/batches/${encodeURIComponent(event.currentTarget.value)}`)} />
      )}
      {batch === undefined ? (
        <Empty title={words.batch.none}>{words.batch.noneHelp}</Empty>
      ) : (
        <div className="batches-body">
          <nav className="batch-list" aria-label={words.batch.list}>
            {items.map((item) => (
              <Link key={item.batch} href={addressOf(name, item.batch)} aria-current={item.batch === batch ? "page" : undefined}>
                <strong>{item.batch}</strong>
                <span className="quiet">
                  {item.waiting > 0 ? words.batch.waits({ n: item.waiting, all: item.parts }) : words.batch.done} · {dayAndTime(item.asked_at)}
                </span>
              </Link>
            ))}
          </nav>
          <OneBatch key={`${name} ${batch}`} name={name} batch={batch} process={process.data.process} />
        </div>
      )}
    </div>
  );
}

function OneBatch({ name, batch, process }: { name: string; batch: string; process: Process }) {
  const [at, setAt] = useState<string>();
  const found = useBatch(name, batch, at);
  const state = waiting(found);
  return (
    <article className="batch">
      <header>
        <h1>{words.batch.title({ batch })}</h1>
        <TakeAway csv={batchCsv(name, batch, at)} />
      </header>
      {state}
      {found.data && <Shown name={name} told={found.data} process={process} at={at} setAt={setAt} />}
    </article>
  );
}

type Props = { name: string; told: Batch; process: Process; at: string | undefined; setAt: (at: string) => void };

function Shown({ name, told, process, at, setAt }: Props) {
  const { decision } = told;
  const steps = Object.entries(told.waiting);
  return (
    <>
      {decision && (
        <>
          <Headline decision={decision} />
          {steps.length > 1 && (
            <NativeSelect size="xs" className="no-print" w={320} label={words.batch.otherSteps} value={at ?? decision.at}
              data={steps.map(([step, count]) => ({ value: step, label: words.batch.stepOf({ step, count }) }))} onChange={(event) => setAt(event.currentTarget.value)} />
          )}
          <div className="batch-columns">
            <BatchPlans decision={decision} />
            <CommonSettings decision={decision} process={process} />
          </div>
          <BatchApproval name={name} batch={told.batch} waiting={told.permission} />
          <BatchWord key={decision.at} name={name} batch={told.batch} decision={decision} />
          <BatchParts decision={decision} />
        </>
      )}
      <WordsTaken taken={told.taken} />
      <Ended told={told} />
    </>
  );
}

/** What to do with the batch in one line. Where most parts are better treated apart, nobody may read “scrap all”. */
function Headline({ decision }: { decision: BatchDecision }) {
  const apart = decision.parts.filter((part) => part.apart).length;
  const all = decision.parts.length;
  const alike = words.batch.decision[decision.decision];
  const leading = leadingPlan(decision);
  return (
    <p className="batch-decision" data-decision={leading}>
      <strong>{leading === "each" ? words.batch.plan.each : alike}</strong>{" "}
      {leading === "each" ? words.batch.mostlyApart({ apart, all, decision: alike }) : apart > 0 && words.batch.someApart({ apart, all })}{" "}
      {words.batch.before({ count: all, step: decision.at })}
    </p>
  );
}

/** What came of the parts whose fate is known, and what following the advice brought on them. */
function Ended({ told }: { told: Batch }) {
  const fates = (["in", "out", "scrapped", "unknown"] as const).filter((fate) => told.ended[fate]);
  if (fates.length === 0) return null;
  return (
    <section className="panel" aria-label={words.batch.ended}>
      <h2>{words.batch.ended}</h2>
      <p>{fates.map((fate) => `${told.ended[fate]} ${words.batch.fates[fate]}`).join(" · ")}</p>
      {told.brought.recommended > 0 && (
        <>
          <h3>{words.batch.brought}</h3>
          <SummaryCards summary={told.brought} />
        </>
      )}
    </section>
  );
}
