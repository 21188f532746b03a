import { percentScale, rangeWithZero } from "../../geometry/scale";
import { text } from "../../text";
import { duration, money, percent, range } from "../../ui/format";
import { Share } from "../../ui/Share";

export type Plan = {
  name: string;
  /** The one that is advised, or that somebody tries. */
  chosen: boolean;
  chance: number | null;
  /** 90 %, of `chance`. */
  interval: readonly number[] | null;
  /** Expected, from here on. */
  value: number | null;
  /** How long the steps still to come take; null where nobody said. */
  minutes: number | null;
};

/**
 * Plans one under the other: the chance with its interval, and the money about zero, so that risk and gain are seen together;
 * and the time, where the process says how long its steps take.
 */
export function PlanTable({ plans, currency }: { plans: readonly Plan[]; currency: string }) {
  const known = plans.filter((plan): plan is Plan & { value: number } => plan.value !== null);
  const at = percentScale(rangeWithZero(known.map((plan) => plan.value)));
  const words = text.whatIf.columns;
  const timed = known.some((plan) => plan.minutes !== null && plan.minutes > 0);
  return (
    <table className="bars">
      <thead>
        <tr>
          <th scope="col">{words.plan}</th>
          <th scope="col">{words.chance}</th>
          <th scope="col" colSpan={2}>
            {words.value}
          </th>
        </tr>
      </thead>
      <tbody>
        {known.map((plan, place) => (
          <tr key={`${place} ${plan.name}`} data-chosen={plan.chosen}>
            <th scope="row">
              {plan.name}
              {timed && plan.minutes !== null && <span className="quiet plan-between">{`${words.time}: ${duration(plan.minutes)}`}</span>}
            </th>
            <td>
              <Chance plan={plan} />
            </td>
            <td className="bar-cell">
              <span className="bar-zero" style={{ left: `${at(0)}%` }} />
              <span
                className="bar"
                data-loss={plan.value < 0}
                style={{ left: `${Math.min(at(0), at(plan.value))}%`, width: `${Math.abs(at(plan.value) - at(0))}%` }}
              />
            </td>
            <td className="bar-figure">{money(plan.value, currency)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Chance({ plan: { chance, interval } }: { plan: Plan }) {
  if (chance === null) return <span className="quiet">–</span>;
  const [low = chance, high = chance] = interval ?? [];
  return (
    <>
      <Share share={{ value: chance, low, high }} words={percent(chance)} />
      {interval && <span className="quiet plan-between">{range(percent(low), percent(high))}</span>}
    </>
  );
}
