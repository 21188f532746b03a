import { useEffect, useState } from "react";
import { pictures, useInspection } from "../../api/inspections";
import { type Part, usePart } from "../../api/parts";
import type { Inspection } from "../../api/words";
import { boxOf, pathOf, pathOfBox } from "../../geometry/frame";
import { text } from "../../text";
import { Dialog } from "../../ui/Dialog";
import { percent } from "../../ui/format";
import { waiting } from "../../ui/States";
import { useKeys } from "../../ui/useKeys";
import { VerdictMark } from "../../ui/VerdictMark";
import { classColour } from "../../viewer/palette";
import { shareOf, shownOn } from "./joined";

/** Longer side of the pictures side by side, in px. */
const SIDE = 640;

/** The way to the part's verdict from all of its views, also those of other stations. */
export function PartViews({ inspection }: { inspection: Inspection }) {
  const [opened, setOpened] = useState(false);
  const part = usePart(inspection.part, inspection.id, opened);
  useEffect(() => setOpened(false), [inspection.id]);
  useKeys({ v: () => setOpened(true) });
  return (
    <>
      <button type="button" className="link part-views" onClick={() => setOpened(true)}>
        {text.parts.title} <kbd>V</kbd>
      </button>
      <Dialog opened={opened} onClose={() => setOpened(false)} size="90%" title={`${inspection.part}: ${text.parts.title}`} closeButtonProps={{ "aria-label": text.parts.close }}>
        {opened && (waiting(part) ?? (part.data && <Side part={part.data} />))}
      </Dialog>
    </>
  );
}

/** The views side by side; the defect pointed at is outlined in every view that shows it. */
function Side({ part }: { part: Part }) {
  const [chosen, setChosen] = useState<number | null>(null);
  const [held, setHeld] = useState<number | null>(null);
  const shown = chosen ?? held;
  return (
    <div className="joined">
      <p>
        <VerdictMark verdict={part.verdict} size={16} /> {part.reason}
      </p>
      <ul className="joined-defects" aria-label={text.inspect.defects}>
        {part.defects.map((defect) => (
          <li key={defect.number}>
            <button
              type="button"
              aria-pressed={held === defect.number}
              onMouseEnter={() => setChosen(defect.number)}
              onMouseLeave={() => setChosen(null)}
              onFocus={() => setChosen(defect.number)}
              onBlur={() => setChosen(null)}
              onClick={() => setHeld(held === defect.number ? null : defect.number)}
            >
              <VerdictMark verdict={defect.verdict} size={14} /> {defect.number} {defect.class}
              {defect.chance !== null && ` ${percent(defect.chance)}`}
            </button>
          </li>
        ))}
      </ul>
      <div className="joined-views">
        {part.views.map((_, n) => (
          <JoinedView key={n} part={part} n={n} chosen={shown} choose={setChosen} />
        ))}
      </div>
    </div>
  );
}

function JoinedView({ part, n, chosen, choose }: { part: Part; n: number; chosen: number | null; choose: (number: number | null) => void }) {
  const view = part.views[n];
  const { data } = useInspection(view?.inspection_id);
  if (!view) return null;
  const own = data?.images.find((image) => image.n === view.n)?.defects ?? [];
  const share = chosen === null ? null : shareOf(part, chosen, n);
  const name = view.view || text.everywhere.view({ n: view.n + 1 });
  return (
    <figure data-share={share ?? undefined}>
      <figcaption>
        {view.verdict && <VerdictMark verdict={view.verdict} size={14} />} <strong>{name}</strong> <span className="quiet">{view.station}</span>
        {view.fault && <strong className="view-fault"> {text.parts.unjudged}</strong>}
        {share && <span className="joined-share"> {text.parts.share[share]}</span>}
      </figcaption>
      <svg viewBox={`0 0 ${view.width} ${view.height}`} role="img" aria-label={`${part.part}, ${name}`}>
        <image href={pictures.thumbnail(view.inspection_id, view.n, SIDE)} width={view.width} height={view.height} />
        {shownOn(part, n).map(({ number, defect, counts }) => {
          const found = own[defect];
          if (!found) return null;
          const path = pathOf(found.outline) || pathOfBox(boxOf(found.bbox));
          return (
            <g
              key={`${number}-${defect}`}
              className="defect"
              data-number={number}
              data-chosen={number === chosen}
              data-counts={counts}
              onMouseEnter={() => choose(number)}
              onMouseLeave={() => choose(null)}
            >
              <path d={path} className="halo" />
              <path d={path} className="line" stroke={classColour(found.class_id)} fill={classColour(found.class_id)} />
            </g>
          );
        })}
      </svg>
    </figure>
  );
}
