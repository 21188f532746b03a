import type { Process } from "../../api/words";
import { text } from "../../text";
import { change, figure, percent } from "../../ui/format";
import { type Capability, type Known, known } from "./known";

/** Readings shown at first: those that hold the process back. */
const WORST = 8;

type Props = { report: Readonly<Record<string, unknown>>; process: Process };

/** What the advice rests on: one line that is always there, and opens; withdrawn advice is said above it. */
export function KnownPanel({ report, process }: Props) {
  const told = known(report, process.conformance);
  const words = text.known;
  const { promises, coverage } = told;
  return (
    <section className="known" aria-label={words.title}>
      {promises?.withdrawn && (
        <p role="alert" className="withdrawn">
          <strong>{words.withdrawn}</strong> {words.withdrawnWhy(promises.finished, percent(promises.promised), percent(promises.kept))}
        </p>
      )}
      <details>
        <summary>
          <strong>{words.title}</strong> <span className="quiet">{inShort(told)}</span>
        </summary>
        <div className="known-body">
          <div>
            <h3>{words.promises}</h3>
            <p>{promises ? words.kept(promises.finished, percent(promises.promised), percent(promises.kept)) : words.noOutcome}</p>
            {coverage && <p>{words.coverage(percent(coverage.fitted), percent(coverage.widened))}</p>}
            <h3>{words.notIdentified}</h3>
            <p className="quiet">{told.notIdentified.length === 0 ? words.allIdentified : words.notIdentifiedHelp}</p>
            <ul className="names">
              {told.notIdentified.map((name) => (
                <li key={name}>{name}</li>
              ))}
            </ul>
            <h3>{words.drifting}</h3>
            <p className="quiet">{told.drifting.length === 0 ? words.noDrift : words.driftHelp}</p>
            <ul className="names">
              {told.drifting.map(({ step, acts }) => (
                <li key={step}>
                  <strong>{step}</strong> {acts.map(({ name, by }) => `${name} ${change(by)}`).join(", ")}
                </li>
              ))}
            </ul>
          </div>
          <div>
            <h3>{words.capability}</h3>
            {told.capability.length === 0 ? <p className="quiet">{words.noCapability}</p> : <CapabilityTable rows={told.capability} />}
          </div>
        </div>
      </details>
    </section>
  );
}

function CapabilityTable({ rows }: { rows: readonly Capability[] }) {
  const words = text.known;
  const shown = rows.filter((row, place) => place < WORST || row.deciding);
  return (
    <>
      <p className="quiet">{words.capabilityHelp}</p>
      <table className="figures">
        <thead>
          <tr>
            <th scope="col">{words.reading}</th>
            <th scope="col">Cpk</th>
            <th scope="col">Ppk</th>
            <th scope="col">{words.within}</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <tr key={row.reading}>
              <th scope="row">
                {row.reading} {row.deciding && <span className="badge">{words.deciding}</span>}
              </th>
              <td className={row.cpk !== null && row.cpk < 1 ? "beyond" : undefined}>{row.cpk === null ? "–" : figure(Number(row.cpk.toFixed(2)))}</td>
              <td>{row.ppk === null ? "–" : figure(Number(row.ppk.toFixed(2)))}</td>
              <td>{row.within === null ? "–" : percent(row.within)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > shown.length && <p className="quiet">{words.more(rows.length - shown.length)}</p>}
    </>
  );
}

/** The four things in one line. */
function inShort({ settings, notIdentified, drifting, capability, promises }: Known): string {
  const words = text.known;
  const least = capability[0]?.cpk ?? null;
  return [
    settings > 0 && words.shortIdentified(settings - notIdentified.length, settings),
    words.shortDrift(drifting.length),
    least !== null && words.shortCpk(least.toFixed(2)),
    promises && words.shortPromises(percent(promises.promised), percent(promises.kept)),
  ]
    .filter(Boolean)
    .join(" · ");
}
