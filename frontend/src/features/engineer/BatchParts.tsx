import { Link } from "wouter";
import type { BatchDecision, BatchPart } from "../../api/batches";
import { words } from "../../text/desk";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { figure, money, percent } from "../../ui/format";
import { DecisionMark } from "./DecisionMark";

/** Which parts are better treated apart, then every part that waits, with both plans. */
export function BatchParts({ decision }: { decision: BatchDecision }) {
  const apart = decision.parts.filter((part) => part.apart).toSorted((a, b) => b.gain - a.gain);
  return (
    <>
      <section className="panel" aria-label={words.batch.differ}>
        <h2>{words.batch.differ}</h2>
        <p className="quiet">{apart.length === 0 ? words.batch.alike : words.batch.differHelp({ money: money(decision.worth_apart, decision.currency) })}</p>
        {apart.length > 0 && <Parts parts={apart} decision={decision} />}
      </section>
      <details className="panel all-parts">
        <summary>{words.batch.allParts}</summary>
        <Parts parts={decision.parts} decision={decision} />
      </details>
    </>
  );
}

function Parts({ parts, decision }: { parts: readonly BatchPart[]; decision: BatchDecision }) {
  const shares = decision.decision === "shared";
  const chance = (share: number | null) => (share === null ? "–" : percent(share));
  return (
    <table className="facts batch-parts">
      <ColumnHeads names={[words.batch.part, words.batch.own, words.batch.ownChance, words.batch.sharedChance, words.batch.gain, words.batch.cause, ...(shares ? [words.batch.ownSettings] : [])]} />
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
              {money(part.gain, decision.currency)} {part.apart && <span className="badge">{words.batch.apart}</span>}
            </td>
            <td>{part.cause ?? "–"}</td>
            {shares && (
              <td>
                <OwnWay part={part} common={decision.plans.find((one) => one.plan === "shared")?.shared ?? {}} />
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** What a part gets beside what the batch shares. */
function OwnWay({ part, common }: { part: BatchPart; common: Readonly<Record<string, number>> }) {
  if (part.decision_shared === "scrap") return <DecisionMark decision="scrap" />;
  const own = Object.entries(part.settings_shared).filter(([name]) => !(name in common));
  const said = [...part.run_shared, ...own.map(([name, value]) => `${name} ${figure(value)}`)];
  return <>{said.join(", ") || "–"}</>;
}
