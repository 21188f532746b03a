import type { BatchDecision, BatchPlan } from "../../api/batches";
import type { Process } from "../../api/words";
import { percentScale, rangeWithZero } from "../../geometry/scale";
import { text } from "../../text";
import { words } from "../../text/desk";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { figure, fixed, money, percent } from "../../ui/format";
import { Share } from "../../ui/Share";
import { leadingPlan } from "./leading";
import { find } from "./readings";

/** Plans for the whole batch one under the other: how many parts end within specification, and the money about zero. */
export function BatchPlans({ decision }: { decision: BatchDecision }) {
  const { plans, currency, parts } = decision;
  const eur = (amount: number) => money(amount, currency);
  const at = percentScale(rangeWithZero(plans.flatMap((plan) => [plan.money, ...plan.money_interval])));
  const leading = leadingPlan(decision);
  const chosen = plans.find((plan) => plan.plan === leading);
  const named = words.batch.columns;
  return (
    <section className="panel" tabIndex={0} aria-label={words.batch.plans}>
      <h2>{words.batch.plans}</h2>
      <table className="bars">
        <thead>
          <tr>
            <th scope="col">{named.plan}</th>
            <th scope="col">{named.good}</th>
            <th scope="col" colSpan={2}>
              {named.money}
            </th>
            <th scope="col">{named.moneyBetween}</th>
          </tr>
        </thead>
        <tbody>
          {plans.map((plan) => (
            <tr key={plan.plan} data-chosen={plan.plan === leading}>
              <th scope="row">{words.batch.plan[plan.plan]}</th>
              <td>
                <Good plan={plan} parts={parts.length} />
              </td>
              <td className="bar-cell">
                <span className="bar-zero" style={{ left: `${at(0)}%` }} />
                <span className="bar" data-loss={plan.money < 0} style={{ left: `${Math.min(at(0), at(plan.money))}%`, width: `${Math.abs(at(plan.money) - at(0))}%` }} />
                <span className="bar-between" style={{ left: `${at(plan.money_interval[0] ?? 0)}%`, width: `${at(plan.money_interval[1] ?? 0) - at(plan.money_interval[0] ?? 0)}%` }} />
              </td>
              <td className="bar-figure">{eur(plan.money)}</td>
              <td className="bar-figure">{text.everywhere.range({ low: eur(plan.money_interval[0] ?? 0), high: eur(plan.money_interval[1] ?? 0) })}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {chosen?.all_good != null && chosen.scrapped === 0 && <p>{words.batch.allGood({ chance: percent(chosen.all_good) })}</p>}
      <p className="quiet">{words.batch.together}</p>
    </section>
  );
}

function Good({ plan, parts }: { plan: BatchPlan; parts: number }) {
  const [low = 0, high = 0] = plan.good_interval;
  if (plan.scrapped === parts) return <span className="quiet">{words.batch.scrapped({ count: plan.scrapped })}</span>;
  const said = words.batch.goodOf({ good: fixed(plan.good, 1), all: parts, low, high });
  return (
    <>
      <Share share={{ value: plan.good / parts, low: low / parts, high: high / parts }} words={said} />
      {plan.scrapped > 0 && <span className="quiet"> {words.batch.scrapped({ count: plan.scrapped })}</span>}
    </>
  );
}

/** What the one decision sets, the same for every part. */
export function CommonSettings({ decision, process }: { decision: BatchDecision; process: Process }) {
  const plan = decision.plans.find((one) => one.plan === decision.decision);
  const shares = decision.decision === "shared";
  const settings = Object.entries((shares ? plan?.shared : plan?.settings) ?? {});
  if (!plan || decision.decision === "scrap" || leadingPlan(decision) === "each") return null;
  return (
    <section className="panel" tabIndex={0} aria-label={words.batch.toDo}>
      <h2>{words.batch.toDo}</h2>
      {plan.run.length > 0 && (
        <p>
          <strong>{words.batch.run({ steps: plan.run.join(", ") })}</strong>
        </p>
      )}
      {shares && <p className="quiet">{words.batch.ownRest}</p>}
      {settings.length === 0 && plan.run.length === 0 && <p className="quiet">{words.batch.nothing}</p>}
      {settings.length > 0 && (
        <table className="facts">
          <ColumnHeads names={[words.batch.setting, text.engineer.nominal, words.batch.value]} />
          <tbody>
            {settings.map(([name, value]) => {
              const setting = find(process, name)?.setting;
              return (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  <td>{setting && figure(setting.nominal)}</td>
                  <td>
                    <strong>
                      {figure(value)} {setting?.unit}
                    </strong>
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
    </section>
  );
}
