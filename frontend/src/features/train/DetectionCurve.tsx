import { percentScale } from "../../geometry/scale";
import { text } from "../../text";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { figure, percent } from "../../ui/format";
import { type Curve, type Detection, type Miss, points } from "./detection";

/** Told apart by dashes as well as by shade. */
const DASHES = ["", "6 3", "2 3", "8 3 2 3", "1 4"];

/** Probability of detection over length, by class, and from what length on nine of ten are found. */
export function DetectionCurve({ told }: { told: Detection }) {
  const words = text.train;
  const [low, high] = told.sizes;
  const across = percentScale([Math.log(low), Math.log(high)]);
  const name = (curve: Curve) => curve.name || words.allClasses;
  return (
    <figure className="pod">
      <figcaption>{told.score === null ? words.podHelp : words.podHelpAt({ score: figure(told.score) })}</figcaption>
      <div className="pod-drawing">
        <span className="pod-high">{percent(1)}</span>
        <svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label={told.curves.map((curve) => `${name(curve)}: ${inWords(curve, told.unit)}`).join("; ")}>
          <path className="grid" d="M0 0H100M0 50H100M0 100H100" />
          <path className="nine" d="M0 10H100" />
          {told.curves.map((curve, place) => (
            <path key={curve.name} className="curve" data-all={curve.name === ""} strokeDasharray={DASHES[place % DASHES.length]}
              d={points(curve, told.sizes).map(([size, chance], point) => `${point === 0 ? "M" : "L"}${across(Math.log(size)).toFixed(2)} ${(100 * (1 - chance)).toFixed(2)}`).join("")} />
          ))}
        </svg>
        <span className="pod-low">{percent(0)}</span>
        <span className="pod-left">
          {figure(Number(low.toPrecision(2)))} {told.unit}
        </span>
        <span className="pod-right">
          {figure(Number(high.toPrecision(2)))} {told.unit}
        </span>
      </div>
      <ul>
        {told.curves.map((curve, place) => (
          <li key={curve.name}>
            <svg className="pod-key" viewBox="0 0 30 8" aria-hidden="true">
              <path className="curve" data-all={curve.name === ""} strokeDasharray={DASHES[place % DASHES.length]} d="M0 4H30" />
            </svg>
            <strong>{name(curve)}</strong> {inWords(curve, told.unit)}
          </li>
        ))}
      </ul>
    </figure>
  );
}

function inWords(curve: Curve, unit: string): string {
  const words = text.train;
  const length = (value: number) => `${figure(Number(value.toPrecision(2)))} ${unit}`;
  return [
    words.found({ hits: curve.hits, defects: curve.defects, share: percent(curve.hits / curve.defects) }),
    curve.a90 !== null && words.a90({ length: length(curve.a90) }),
    curve.a9095 !== null && words.a9095({ length: length(curve.a9095) }),
    curve.note,
  ]
    .filter(Boolean)
    .join("; ");
}

/** The longest defects that the model did not tell of, on its validation pictures. */
export function Misses({ misses }: { misses: readonly Miss[] }) {
  const words = text.train;
  if (misses.length === 0) return <p>{words.noMisses}</p>;
  return (
    <table className="figures">
      <ColumnHeads names={[words.missPicture, words.missClass, words.missLength, words.missScore]} />
      <tbody>
        {misses.map((miss, place) => (
          <tr key={place}>
            <th scope="row">{miss.image}</th>
            <td>{miss.className}</td>
            <td>{figure(miss.length)} px</td>
            <td>{miss.foundAt === null ? words.missNever : figure(Number(miss.foundAt.toFixed(2)))}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
