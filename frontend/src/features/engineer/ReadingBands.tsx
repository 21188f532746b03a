import type { Expected } from "../../api/words";
import { percentScale } from "../../geometry/scale";
import { text } from "../../text";
import { figure, range } from "../../ui/format";

type Reading = Expected["path"][number]["readings"][string];

/** Where each reading will lie, with the band that holds 90 % and its limits; those that decide first, the others on wish. */
export function ReadingBands({ path, deciding }: { path: Expected["path"]; deciding: readonly string[] }) {
  const all = path.flatMap(({ readings }) => Object.entries(readings).map(([name, reading]) => ({ name, reading })));
  const words = text.whatIf;
  const others = all.filter((one) => !deciding.includes(one.name));
  return (
    <>
      <h3>{words.readings}</h3>
      <p className="quiet">{words.readingsHelp}</p>
      <Bands rows={all.filter((one) => deciding.includes(one.name))} />
      {others.length > 0 && (
        <details>
          <summary>{words.allReadings({ n: others.length })}</summary>
          <Bands rows={others} />
        </details>
      )}
    </>
  );
}

function Bands({ rows }: { rows: readonly { name: string; reading: Reading }[] }) {
  return (
    <table className="bands">
      <tbody>
        {rows.map(({ name, reading }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>
              <Band reading={reading} />
            </td>
            <td className={outside(reading) ? "beyond" : undefined}>
              {figure(reading.mean)} {reading.unit}{" "}
              <span className="quiet">
                ({range(figure(reading.low), figure(reading.high))})
              </span>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const outside = ({ mean, lower, upper }: Reading): boolean => (lower !== null && mean < lower) || (upper !== null && mean > upper);

function Band({ reading: { mean, low, high, lower, upper } }: { reading: Reading }) {
  const ends = [low, high, lower ?? low, upper ?? high];
  const [least, most] = [Math.min(...ends), Math.max(...ends)];
  const at = percentScale([least - (most - least) / 20, most + (most - least) / 20]);
  const limits = [lower, upper].filter((limit) => limit !== null);
  return (
    <svg className="forest-row" viewBox="0 0 100 16" preserveAspectRatio="none" data-known="true" aria-hidden="true">
      {limits.map((limit) => (
        <path key={limit} className="zero" d={`M${at(limit)} 0V16`} />
      ))}
      <path className="interval" d={`M${at(low)} 8H${at(high)}`} />
      <path className="point" d={`M${at(mean)} 8h0`} />
    </svg>
  );
}
