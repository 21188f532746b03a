import { percentScale, rangeWithZero } from "../../geometry/scale";
import { money } from "../../ui/format";

type Bar = { name: string; value: number | null; chosen: boolean };

/** Expected values side by side about zero; what is advised is dark, losses reach to the left. */
export function MoneyBars({ bars, currency }: { bars: readonly Bar[]; currency: string }) {
  const known = bars.filter((bar): bar is Bar & { value: number } => bar.value !== null);
  const at = percentScale(rangeWithZero(known.map((bar) => bar.value)));
  return (
    <table className="bars">
      <tbody>
        {known.map((bar) => (
          <tr key={bar.name} data-chosen={bar.chosen}>
            <th scope="row">{bar.name}</th>
            <td className="bar-cell">
              <span className="bar-zero" style={{ left: `${at(0)}%` }} />
              <span
                className="bar"
                data-loss={bar.value < 0}
                style={{ left: `${Math.min(at(0), at(bar.value))}%`, width: `${Math.abs(at(bar.value) - at(0))}%` }}
              />
            </td>
            <td className="bar-figure">{money(bar.value, currency)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
