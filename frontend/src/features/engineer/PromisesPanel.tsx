import type { Decision, Kept, Promises } from "../../api/words";
import { percentScale } from "../../geometry/scale";
import { text } from "../../text";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { figure, fixed, percent } from "../../ui/format";
import { DecisionMark } from "./DecisionMark";

/** Whether advice stands as promised, is widened or withdrawn, and what speaks for it: promised beside kept. */
export function PromisesPanel({ promises, coverage }: { promises: Promises; coverage: { fitted: number; widened: number } | null }) {
  const words = text.process;
  const { since_fit: since, state } = promises;
  const wider = Object.entries(promises.wider).map(([reading, by]) => `${reading} × ${figure(Number(by.toFixed(2)))}`);
  const low = [...promises.decisions, ...promises.chances].every((one) => one.low == null || one.low >= 0.5) ? 0.5 : 0;
  return (
    <>
      <p className="promise-state" data-state={state}>
        <strong>{words.state[state]}.</strong> {words.stateHelp[state]}
      </p>
      {since.promised !== null && since.kept !== null && <p>{words.since({ n: since.finished, promised: percent(since.promised), kept: percent(since.kept) })}</p>}
      {since.finished > 0 && <p className="quiet">{words.bet({ has: fixed(promises.evidence, 1), needed: promises.needed })}</p>}
      {wider.length > 0 && <p className="quiet">{words.wider({ what: wider.join(", ") })}</p>}
      {coverage && <p className="quiet">{words.coverage({ fitted: percent(coverage.fitted), widened: percent(coverage.widened) })}</p>}
      {promises.decisions.length === 0 ? (
        <p className="quiet">{words.noAdvice}</p>
      ) : (
        <table className="kept">
          <ColumnHeads names={[words.advice, words.told, words.done, words.drawn({ low: percent(low) })]} />
          <tbody>
            {promises.decisions.map((one) => (
              <tr key={one.decision}>
                <th scope="row">
                  <DecisionMark decision={one.decision as Decision} />
                </th>
                <td>{one.advised}</td>
                <td>
                  {text.everywhere.of({ n: one.followed, all: one.known })}
                </td>
                <td>
                  {one.decision === "correct" || one.decision === "continue" ? <Drawn kept={one} low={low} /> : <span className="quiet">{words.noPromise}</span>}
                </td>
              </tr>
            ))}
            {promises.chances.map((one) => (
              <tr key={one.low_end}>
                <th scope="row" colSpan={3}>
                  {words.chance({ low: percent(one.low_end), high: percent(one.high_end) })}
                </th>
                <td>
                  <Drawn kept={one} low={low} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

/** Kept with its interval, and a tall line where the promise was. */
function Drawn({ kept, low: from }: { kept: Kept; low: number }) {
  const { promised, kept: share, low, high } = kept;
  if (promised === null || share === null || low === null || high === null) return <span className="quiet">{text.process.noneChecked}</span>;
  const at = percentScale([from, 1]);
  return (
    <>
      <svg className="kept-row" viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true">
        <rect x="0" y="5" width="100" height="6" />
        <path className="interval" d={`M${at(low)} 8H${at(high)}`} />
        <path className="point" d={`M${at(share)} 8h0`} />
        <path className="promise" d={`M${at(promised)} 0V16`} />
      </svg>
      <span className="kept-words">{text.process.keptOf({ promised: percent(promised), kept: percent(share), low: percent(low), high: percent(high), n: kept.parts })}</span>
    </>
  );
}
