import { useEffect, useRef, useState } from "react";
import type { Defect } from "../../api/words";
import { framePx, mm } from "../../geometry/units";
import { text } from "../../text";
import { percent, range, showMm, showPx } from "../../ui/format";
import { classColour } from "../../viewer/palette";
import { type Group, type Numbered, grouped } from "./numbering";

type Props = { defects: readonly Numbered[]; chosen: number | null; choose: (number: number) => void; manyViews: boolean };

/** The defects that matter most, one a row; of many the others stand in one line a class, which opens. */
export function DefectList({ defects, chosen, choose, manyViews }: Props) {
  const words = text.inspect;
  const [opened, setOpened] = useState<readonly string[]>([]);
  const place = useRef<HTMLElement>(null);
  useEffect(() => void place.current?.querySelector(".defect-row[aria-current=true]")?.scrollIntoView({ block: "nearest" }), [chosen]);

  const { first, groups } = grouped(defects);
  const doubtful = defects.filter(({ defect }) => !defect.counts).length;
  const row = (found: Numbered) => <Row key={found.number} {...found} current={found.number === chosen} choose={choose} manyViews={manyViews} />;
  return (
    <section className="defects" aria-label={words.defects} ref={place}>
      <h2>
        {words.defects}{" "}
        <span className="quiet">
          {defects.length - doubtful}
          {doubtful > 0 && ` · ${words.countDoubtful({ count: doubtful })}`}
        </span>{" "}
        <kbd>N</kbd>
      </h2>
      {defects.length === 0 && <p className="quiet">{words.noDefects}</p>}
      <ol>
        {first.map(row)}
        {groups.map((group) => {
          const open = opened.includes(group.key) || group.members.some(({ number }) => number === chosen);
          return (
            <li key={group.key}>
              <button type="button" className="defect-row" aria-expanded={open} onClick={() => setOpened(open ? opened.filter((key) => key !== group.key) : [...opened, group.key])}>
                <span className="defect-number" style={{ borderColor: classColour(group.classId) }} data-counts={group.counts} aria-hidden="true">
                  {open ? "−" : "+"}
                </span>
                <Summary group={group} />
              </button>
              {open && <ol>{group.members.map(row)}</ol>}
            </li>
          );
        })}
      </ol>
    </section>
  );
}

function Row({ defect, number, view, current, choose, manyViews }: Numbered & { current: boolean; choose: Props["choose"]; manyViews: boolean }) {
  return (
    <li>
      <button type="button" className="defect-row" aria-current={current} onClick={() => choose(number)}>
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
  );
}

/** How many more of a class there are, and how sure the model is of them. */
function Summary({ group: { name, counts, members } }: { group: Group }) {
  const scores = members.map(({ defect }) => defect.score);
  const [low, high] = [percent(Math.min(...scores)), percent(Math.max(...scores))];
  const words = text.inspect;
  return (
    <span className="defect-what">
      <strong>{name}</strong> {counts ? words.countMore({ count: members.length }) : <em>{words.countDoubtful({ count: members.length })}</em>}
      <span className="quiet">{low === high ? low : range(low, high)}</span>
    </span>
  );
}

/** Length by width, in millimetres where the view is calibrated, and always in pixels. */
function size(defect: Defect): string {
  const px = `${showPx(framePx(defect.length_px))} × ${showPx(framePx(defect.width_px))}`;
  if (defect.length_mm === null || defect.width_mm === null) return px;
  return `${showMm(mm(defect.length_mm))} × ${showMm(mm(defect.width_mm))} (${px})`;
}
