import { text } from "../../text";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { Share } from "../../ui/Share";
import type { Row } from "./figures";

/** Figures of one or two models, one under the other; shares are drawn, so that a difference is seen before it is read. */
export function FigureTable({ rows, columns }: { rows: readonly Row[]; columns: readonly string[] }) {
  return (
    <table className="figures">
      <ColumnHeads names={[text.train.figure, ...columns]} />
      <tbody>
        {rows.map((row) => (
          <tr key={row.name}>
            <th scope="row">{row.name}</th>
            {row.values.map((figure, column) => (
              <td key={column}>{figure ? <Share share={figure.share} words={figure.text} /> : "–"}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
