import type { Defect } from "../../api/words";
import { framePx, mm } from "../../geometry/units";
import { text } from "../../text";
import { percent, showMm, showPx } from "../../ui/format";
import { classColour } from "../../viewer/palette";
import type { Numbered } from "./numbering";

type Props = { defects: readonly Numbered[]; chosen: number | null; choose: (number: number) => void; manyViews: boolean };

export function DefectList({ defects, chosen, choose, manyViews }: Props) {
  return (
    <section className="defects" aria-label={text.inspect.defects}>
      <h2>
        {text.inspect.defects} <span className="quiet">{defects.length}</span> <kbd>N</kbd>
      </h2>
      {defects.length === 0 && <p className="quiet">{text.inspect.noDefects}</p>}
      <ol>
        {defects.map(({ defect, number, view }) => (
          <li key={number}>
            <button type="button" className="defect-row" aria-current={number === chosen} onClick={() => choose(number)}>
              <span className="defect-number" style={{ borderColor: classColour(defect.class_id) }} data-counts={defect.counts}>
                {number}
              </span>
              <span className="defect-what">
                <strong>{defect.class}</strong> {percent(defect.score)}
                {!defect.counts && <em> {text.inspect.doubtful}</em>}
                <span className="quiet">
                  {size(defect)}
                  {manyViews && ` · ${view}`}
                </span>
              </span>
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** Length by width, in millimetres where the view is calibrated, and always in pixels. */
function size(defect: Defect): string {
  const px = `${showPx(framePx(defect.length_px))} × ${showPx(framePx(defect.width_px))}`;
  if (defect.length_mm === null || defect.width_mm === null) return px;
  return `${showMm(mm(defect.length_mm))} × ${showMm(mm(defect.width_mm))} (${px})`;
}
