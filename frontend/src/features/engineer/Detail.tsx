import { Link } from "wouter";
import { useIsEngineer } from "../../api/session";
import type { Process, Recommendation } from "../../api/words";
import { text } from "../../text";
import { dayAndTime, money, shortId } from "../../ui/format";
import { Actions, Readings } from "./Actions";
import { Causes } from "./Causes";
import { DecisionMark } from "./DecisionMark";
import { Measuring } from "./Measuring";
import { OutcomeForm } from "./OutcomeForm";
import { Permission } from "./Permission";
import { PartWay } from "./PartWay";
import { PlanTable } from "./PlanTable";
import { Probability } from "./Probability";
import { fate } from "./readings";
import { WhatIf } from "./WhatIf";
import { Served } from "../../ui/Served";

type Props = {
  recommendation: Recommendation;
  process: Process;
  /** Under which the process is served. */
  name: string;
  /** Every plan for this part, the newest first. */
  all: readonly Recommendation[];
  choose: (id: string) => void;
  /** Settings whose effect the history does not tell. */
  unknown: readonly string[];
};

/** One part's recommendation, and what it rests on. */
export function Detail({ recommendation, process, name, all, choose, unknown }: Props) {
  const may = useIsEngineer();
  const { answer: advice, outcome } = recommendation;
  const words = text.engineer;
  const named = words.plan;
  const came = outcome && words.fate[fate(process, outcome)];
  const plans = [
    ...(advice.decision === "abstain"
      ? []
      : [{ name: named[advice.decision], chosen: true, chance: advice.decision === "scrap" ? null : advice.p_conform,
          interval: advice.p_conform_interval, value: advice.expected_value, minutes: advice.minutes ?? null }]),
    ...advice.alternatives.map((other) => ({
      name: other.decision ? named[other.decision] : words.anotherPlan,
      chosen: false,
      chance: other.p_conform ?? null,
      interval: other.p_conform_interval ?? null,
      value: other.expected_value ?? null,
      minutes: other.minutes ?? null,
    })),
  ];
  return (
    <article className="detail" tabIndex={0} aria-label={words.detail({ part: recommendation.part })}>
      <header>
        <DecisionMark decision={advice.decision} large />
        <div>
          <h1>{recommendation.part}</h1>
          <span className="quiet">
            {words.before({ step: recommendation.at })} · {dayAndTime(recommendation.asked_at)}
            {recommendation.request.batch && (
              <>
                {" · "}
                <Link href={`/engineer/batches/${encodeURIComponent(name)}/${encodeURIComponent(recommendation.request.batch)}`}>{words.batch({ batch: recommendation.request.batch })}</Link>
              </>
            )}{" "}
            · {text.everywhere.model({ id: shortId(advice.model) })}
          </span>
        </div>
        {outcome && came && (
          <p className="fate" data-fate={fate(process, outcome)} role="status">
            {outcome.scrapped_at ? words.fateAt({ fate: came, step: outcome.scrapped_at }) : came}
          </p>
        )}
      </header>
      {all.length > 1 && (
        <nav className="plans" aria-label={words.plansOf}>
          {words.askedAt}
          {all.toReversed().map((one) => (
            <button key={one.id} type="button" aria-current={one.id === recommendation.id} onClick={() => choose(one.id)}>
              {one.at}
            </button>
          ))}
        </nav>
      )}
      <p className="why">
        <Served text={advice.reason} />
      </p>
      <div className="detail-columns">
        <div>
          <section>
            <h3>{words.chance}</h3>
            <Probability chance={advice.p_conform} interval={advice.p_conform_interval} escape={money(process.part.escape, process.currency)} />
          </section>
          <section>
            <h3>{words.plans}</h3>
            <PlanTable plans={plans} currency={process.currency} />
          </section>
          <Actions advice={advice} process={process} />
          {may && outcome === null && all[0]?.id === recommendation.id && <OutcomeForm key={recommendation.id} recommendation={recommendation} process={process} name={name} />}
          <Permission recommendation={recommendation} process={name} newest={all[0]?.id === recommendation.id} />
        </div>
        <div>
          <section>
            <h3>{words.whichStep}</h3>
            <Causes advice={advice} process={process} />
          </section>
          <Readings recommendation={recommendation} process={process} />
          <Measuring key={recommendation.id} advice={advice} process={process} />
        </div>
      </div>
      {may && <PartWay recommendation={recommendation} process={process} name={name} />}
      {may && <WhatIf recommendation={recommendation} process={process} name={name} unknown={unknown} />}
    </article>
  );
}
