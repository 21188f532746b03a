import { Button } from "@mantine/core";
import { Link } from "wouter";
import type { Proposal, Recipe } from "../../api/recipe";
import { percentScale, rangeWithZero } from "../../geometry/scale";
import { text } from "../../text";
import { words } from "../../text/desk";
import { figure, money, percent } from "../../ui/format";
import { Served } from "../../ui/Served";

type Props = { number: number; proposal: Proposal; recipe: Recipe; name: string; tried: boolean; open: () => void; busy: boolean };

/** One proposal: what it may gain and how surely, what it costs to try, what it moves, and what that rests on. */
export function ProposalPanel({ number, proposal, recipe, name, tried, open, busy }: Props) {
  const { currency } = recipe;
  const eur = (amount: number) => money(amount, currency);
  const [low = 0, high = 0] = proposal.gain_interval;
  const worth = proposal.decision === "try";
  const title = worth ? words.recipe.proposal({ n: number }) : words.recipe.noGain;
  return (
    <section className="panel proposal" aria-label={title}>
      <h2>{title}</h2>
      <p>
        <Served text={proposal.reason} />
      </p>
      {worth && (
        <>
          <dl className="proposal-figures">
            <div>
              <dt>{words.recipe.gain}</dt>
              <dd>{eur(proposal.gain)}</dd>
              <dd className="quiet">{words.recipe.between({ low: eur(low), high: eur(high) })}</dd>
            </div>
            <div>
              <dt>{words.recipe.sure}</dt>
              <dd>{percent(proposal.gain_chance)}</dd>
            </div>
            <div>
              <dt>{words.recipe.cost}</dt>
              <dd>{eur(proposal.cost)}</dd>
              <dd className="quiet">{words.recipe.costOf({ count: proposal.parts })}</dd>
            </div>
          </dl>
          <Interval low={low} middle={proposal.gain} high={high} all={[low, high]} />
          <h3>{words.recipe.moved}</h3>
          <Moved proposal={proposal} currency={currency} />
          <h3>{words.recipe.evidence}</h3>
          <p>
            {words.recipe.rests} <Link href={`/engineer/process/${encodeURIComponent(name)}`}>{words.recipe.onProcess}</Link>
          </p>
          {proposal.left.length > 0 && <p className="quiet">{words.recipe.left({ names: proposal.left.join(", ") })}</p>}
          <Button className="no-print" color="dark" disabled={tried || busy} onClick={open}>
            {tried ? words.recipe.isOpen : words.recipe.open}
          </Button>
        </>
      )}
    </section>
  );
}

function Moved({ proposal, currency }: { proposal: Proposal; currency: string }) {
  const all = proposal.each.flatMap((one) => one.worth_interval);
  return (
    <table className="facts">
      <thead>
        <tr>
          <th scope="col">{words.recipe.setting}</th>
          <th scope="col">{words.recipe.now}</th>
          <th scope="col">{words.recipe.proposed}</th>
          <th scope="col" colSpan={2}>
            {words.recipe.worth}
          </th>
        </tr>
      </thead>
      <tbody>
        {proposal.each.map((one) => (
          <tr key={one.setting}>
            <th scope="row">{one.setting}</th>
            <td>{figure(one.now)}</td>
            <td>
              <strong>
                {figure(one.proposed)} {one.unit}
              </strong>
            </td>
            <td className="proposal-drawn">
              <Interval low={one.worth_interval[0] ?? 0} middle={one.worth} high={one.worth_interval[1] ?? 0} all={all} />
            </td>
            <td>
              {money(one.worth, currency)}{" "}
              <span className="quiet">({text.everywhere.range({ low: money(one.worth_interval[0] ?? 0, currency), high: money(one.worth_interval[1] ?? 0, currency) })})</span>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A figure with its interval against nothing: whether the whole of it lies on one side is seen before it is read. */
function Interval({ low, middle, high, all }: { low: number; middle: number; high: number; all: readonly number[] }) {
  const at = percentScale(rangeWithZero([...all]));
  return (
    <svg className="forest-row" viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true" data-known="true">
      <path className="zero" d={`M${at(0)} 0V16`} />
      <path className="interval" d={`M${at(low)} 8H${at(high)}`} />
      <path className="point" d={`M${at(middle)} 8h0`} />
    </svg>
  );
}
