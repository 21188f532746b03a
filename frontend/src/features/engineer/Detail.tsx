import type { Process, Recommendation } from "../../api/words";
import { text } from "../../text";
import { dayAndTime, money, percent, shortId } from "../../ui/format";
import { Actions, Readings } from "./Actions";
import { Causes } from "./Causes";
import { DecisionMark } from "./DecisionMark";
import { MoneyBars } from "./MoneyBars";
import { Permission } from "./Permission";
import { Probability } from "./Probability";
import { fate } from "./readings";

const FATE = { in: "Finished within specification", out: "Finished outside of specification", scrapped: "Scrapped", unknown: "Finished; not measured" };

type Props = {
  recommendation: Recommendation;
  process: Process;
  /** Under which the process is served. */
  name: string;
  /** Every plan for this part, the newest first. */
  all: readonly Recommendation[];
  choose: (id: string) => void;
};

/** One part's recommendation, and what it rests on. */
export function Detail({ recommendation, process, name, all, choose }: Props) {
  const { answer: advice, outcome } = recommendation;
  const plan = { continue: "Go on as is", correct: "Follow the plan", scrap: "Scrap now", measure: "Measure, then decide", abstain: "Best plan known" };
  const bars = [
    ...(advice.decision === "continue" || advice.decision === "scrap"
      ? []
      : [{ name: plan[advice.decision], value: advice.expected_value, chosen: advice.decision !== "abstain" }]),
    { name: plan.continue, value: advice.value_if_continued, chosen: advice.decision === "continue" },
    { name: plan.scrap, value: advice.value_if_scrapped, chosen: advice.decision === "scrap" },
  ];
  return (
    <article className="detail" tabIndex={0} aria-label={`Recommendation for ${recommendation.part}`}>
      <header>
        <DecisionMark decision={advice.decision} large />
        <div>
          <h1>{recommendation.part}</h1>
          <span className="quiet">
            before {recommendation.at} · {dayAndTime(recommendation.asked_at)}
            {recommendation.request.batch && ` · batch ${recommendation.request.batch}`} · model {shortId(advice.model)}
          </span>
        </div>
        {outcome && (
          <p className="fate" data-fate={fate(process, outcome)} role="status">
            {FATE[fate(process, outcome)]}
            {outcome.scrapped_at && ` at ${outcome.scrapped_at}`}
          </p>
        )}
      </header>
      {all.length > 1 && (
        <nav className="plans" aria-label="Plans for this part">
          Asked at
          {all.toReversed().map((one) => (
            <button key={one.id} type="button" aria-current={one.id === recommendation.id} onClick={() => choose(one.id)}>
              {one.at}
            </button>
          ))}
        </nav>
      )}
      <p className="why">{advice.reason}</p>
      <div className="detail-columns">
        <div>
          <section>
            <h3>Chance to finish within specification</h3>
            <Probability chance={advice.p_conform} interval={advice.p_conform_interval} />
          </section>
          <section>
            <h3>Expected value from here on</h3>
            <MoneyBars bars={bars} currency={process.currency} />
          </section>
          <Actions advice={advice} process={process} />
          <Permission recommendation={recommendation} process={name} newest={all[0]?.id === recommendation.id} />
        </div>
        <div>
          <section>
            <h3>Which step made it so</h3>
            <Causes advice={advice} process={process} />
          </section>
          <Readings recommendation={recommendation} process={process} />
          {advice.alternatives.length > 0 && (
            <section>
              <h3>Otherwise</h3>
              <ul className="readings">
                {advice.alternatives.map((other, place) => (
                  <li key={place}>
                    <strong>{other.decision ? text.engineer.decision[other.decision] : "Another plan"}</strong>
                    {other.expected_value != null && ` ${money(other.expected_value, process.currency)}`}
                    {other.p_conform != null && `, ${percent(other.p_conform)} to conform`}
                    {other.run && other.run.length > 0 && `, running ${other.run.join(", ")}`}
                  </li>
                ))}
              </ul>
            </section>
          )}
        </div>
      </div>
    </article>
  );
}
