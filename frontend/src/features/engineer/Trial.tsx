import type { Exploring, Process, Worth } from "../../api/words";
import { percentScale } from "../../geometry/scale";
import { text } from "../../text";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { fixed, money, percent } from "../../ui/format";

type Rule = NonNullable<NonNullable<Process["serving"]>["trial"]>;

/** What following the advice is worth, as the trial by lot says; else how to switch one on. */
export function TrialRule({ rule, currency }: { rule: Rule | undefined; currency: string }) {
  const words = text.process;
  if (!rule) return <p>{words.trialOff}</p>;
  const where = rule.always ? words.trialAlways : words.trialNear({ money: money(rule.loss ?? 0, currency) });
  return <p className="quiet">{words.trialOn({ name: rule.name ?? "1", share: percent(rule.share ?? 0.5), where })}</p>;
}

export function TrialResult({ worth }: { worth: Worth }) {
  const words = text.process;
  const eur = (amount: number) => money(amount, worth.currency);
  const reach = Math.max(Math.abs(worth.low), Math.abs(worth.high), 1e-9) * 1.05;
  const at = percentScale([-reach, reach]);
  const rows: [string, string | number][] = [
    [words.trialParts, worth.parts],
    [words.trialAdvised, worth.advised],
    [words.trialWaiting, worth.waiting],
    [words.trialLost, `${worth.lost["advice"] ?? 0}, ${worth.lost["usual"] ?? 0}`],
    [words.trialEvidence, worth.evidence < 1e6 ? fixed(worth.evidence, 1) : `> ${fixed(1e6, 0)}`],
    [words.trialGained, eur(worth.gained)],
  ];
  return (
    <>
      {worth.parts === 0 ? (
        <p>{worth.words}</p>
      ) : (
        <>
          <p>
            <strong>{words.claim[(worth.claim as "better" | "worse" | null) ?? "open"]}</strong> {words.gain({ gain: eur(worth.gain), low: eur(worth.low), high: eur(worth.high) })}
          </p>
          <svg className="forest-row" viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true" data-known="true">
            <path className="zero" d={`M${at(0)} 0V16`} />
            <path className="interval" d={`M${at(worth.low)} 8H${at(worth.high)}`} />
            <path className="point" d={`M${at(worth.gain)} 8h0`} />
          </svg>
        </>
      )}
      <table className="facts">
        <tbody>
          {rows.map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{value}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

/** Whether parts may be used to learn, for which price, and how far each setting has come. */
export function ExploringPanel({ told, currency }: { told: Exploring; currency: string }) {
  const words = text.process;
  return (
    <>
      <p>
        {told.allowed && told.price !== null && told.chance !== null
          ? words.exploreOn({ price: money(told.price, currency), chance: percent(told.chance), steps: told.steps.join(", ") || words.everyStep })
          : words.exploreOff}
      </p>
      {(told.allowed || told.parts > 0) && <p className="quiet">{told.parts === 0 ? words.notExplored : words.explored({ count: told.parts, price: money(told.expected_price, currency) })}</p>}
      {told.settings.length > 0 && (
        <table className="facts">
          <ColumnHeads names={[words.setting, words.varied, words.toldBack]} />
          <tbody>
            {told.settings.map((one) => (
              <tr key={one.setting}>
                <th scope="row">{one.setting}</th>
                <td>{one.asked}</td>
                <td>{one.identified ? `${one.told}, ${words.learnt}` : words.toldOf({ n: one.told, needed: told.needed })}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}
