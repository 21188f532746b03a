import { percentScale } from "../../geometry/scale";
import type { Figure, Row } from "./figures";

/** Figures of one or two models, one under the other; shares are drawn, so that a difference is seen before it is read. */
export function FigureTable({ rows, columns }: { rows: readonly Row[]; columns: readonly string[] }) {
  return (
    <table className="figures">
      <thead>
        <tr>
          <th scope="col">Figure</th>
          {columns.map((name) => (
            <th key={name} scope="col">
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={row.name}>
            <th scope="row">{row.name}</th>
            {row.values.map((figure, column) => (
              <td key={column}>{figure ? <Share figure={figure} /> : "–"}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A share between 0 and 1 with its 95 % interval; anything else is a number only. */
function Share({ figure }: { figure: Figure }) {
  const at = percentScale([0, 1]);
  const { share } = figure;
  return (
    <span className="share">
      {share && (
        <svg viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">
          <rect x="0" y="3" width="100" height="8" fill="#e3e7ea" />
          <rect x="0" y="3" width={at(share.value)} height="8" fill="#6d7983" />
          {share.low < share.high && (
            <path d={`M${at(share.low)} 7H${at(share.high)}`} stroke="#111417" strokeWidth="2" vectorEffect="non-scaling-stroke" />
          )}
        </svg>
      )}
      {figure.text}
    </span>
  );
}
