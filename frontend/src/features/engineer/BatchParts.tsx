import { Link } from "wouter";
import type { BatchDecision, BatchPart } from "../../api/batches";
import { words } from "../../text/desk";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { money, percent } from "../../ui/format";
import { DecisionMark } from "./DecisionMark";

/** Which parts are better treated apart, then every part that waits, with both plans. */
export function BatchParts({ decision }: { decision: BatchDecision }) {
  const apart = decision.parts.filter((part) => part.apart).toSorted((a, b) => b.gain - a.gain);
  return (
    <>
      <section className="panel" aria-label={words.batch.differ}>
        <h2>{words.batch.differ}</h2>
        <p className="quiet">{apart.length === 0 ? words.batch.alike : words.batch.differHelp({ money: money(decision.worth_apart, decision.currency) })}</p>
        {apart.length > 0 && <Parts parts={apart} currency={decision.currency} />}
      </section>
      <details className="panel all-parts">
        <summary>{words.batch.allParts}</summary>
        <Parts parts={decision.parts} currency={decision.currency} />
      </details>
    </>
  );
}

function Parts({ parts, currency }: { parts: readonly BatchPart[]; currency: string }) {
  const chance = (share: number | null) => (share === null ? "–" : percent(share));
  return (
    <table className="facts batch-parts">
      <ColumnHeads names={[words.batch.part, words.batch.own, words.batch.ownChance, words.batch.sharedChance, words.batch.gain, words.batch.cause]} />
      <tbody>
        {parts.map((part) => (
          <tr key={part.part}>
            <th scope="row">
              <Link href={`/engineer/${part.id}`}>{part.part}</Link>
            </th>
            <td>
              <DecisionMark decision={part.decision} />
            </td>
            <td>{chance(part.p_own)}</td>
            <td>{chance(part.p_shared)}</td>
            <td>
              {money(part.gain, currency)} {part.apart && <span className="badge">{words.batch.apart}</span>}
            </td>
            <td>{part.cause ?? "–"}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
