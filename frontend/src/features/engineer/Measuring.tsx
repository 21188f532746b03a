import { useState } from "react";
import type { Advice, Process } from "../../api/words";
import { words } from "../../text/desk";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { money } from "../../ui/format";
import { find } from "./readings";

/** Readings shown at first: those that add most beyond their cost. */
const FIRST = 4;

/** Every reading that can still be taken before deciding: what it costs, and what deciding after it would add. */
export function Measuring({ advice, process }: { advice: Advice; process: Process }) {
  const [all, setAll] = useState(false);
  const readings = advice.readings ?? []; // advice given before this was told has none
  if (readings.length === 0) return null;
  const said = words.measuring;
  const eur = (amount: number) => money(amount, process.currency);
  return (
    <section aria-label={said.title}>
      <h3>{said.title}</h3>
      <p className="quiet">{said.help}</p>
      <table className="facts">
        <ColumnHeads names={[said.reading, said.step, said.cost, said.worth]} />
        <tbody>
          {(all ? readings : readings.slice(0, FIRST)).map(({ reading, again, cost, value }) => {
            const step = find(process, reading)?.step.name ?? "";
            return (
              <tr key={reading}>
                <th scope="row">
                  {step ? reading.slice(step.length + 1) : reading} {again && <span className="quiet">{said.again}</span>}
                </th>
                <td>{step}</td>
                <td>{eur(cost)}</td>
                <td>
                  {eur(value)} {value > cost && <span className="badge">{said.pays}</span>}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {!all && readings.length > FIRST && (
        <button type="button" className="link" onClick={() => setAll(true)}>
          {said.more({ count: readings.length - FIRST })}
        </button>
      )}
    </section>
  );
}
