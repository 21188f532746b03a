import { useMemo, useState } from "react";
import { FIRST_PX, pictures } from "../../api/inspections";
import type { CameraFault, Inspection } from "../../api/words";
import { text } from "../../text";
import { VerdictMark } from "../../ui/VerdictMark";
import { FrameViewer, type Look } from "../../viewer/FrameViewer";
import type { Numbered } from "./numbering";

type Props = {
  inspection: Inspection;
  defects: readonly Numbered[];
  chosen: number | null;
  /** The one view shown large, or null for all side by side. */
  large: number | null;
  setLarge: (n: number | null) => void;
  look: Look;
  filled: boolean;
  hidden: boolean;
  /** A magnifier lies on the view under the pointer; without a pointer, on the one with the chosen defect. */
  loupe: boolean;
  onTouched: () => void;
};

const NONE: readonly Numbered[] = [];

/** Columns for so many views: as few as leave each one wide. */
const columns = (count: number): number => (count <= 1 ? 1 : count <= 4 ? 2 : 3);

/** What was found on a view, in words; nothing was where its camera, or another of the part's, is at fault. */
const looked = (inspection: Inspection, image: Inspection["images"][number]): string =>
  image.camera_fault ? text.fault.title : inspection.progress === "done" ? text.inspect.outlined({ count: image.defects.length }) : text.parts.unjudged;

export function Views({ inspection, defects, chosen, large, setLarge, look, filled, hidden, loupe, onTouched }: Props) {
  const [over, setOver] = useState<number | null>(null);
  const ofView = useMemo(() => new Map(inspection.images.map(({ n }) => [n, defects.filter((found) => found.n === n)])), [inspection.images, defects]);
  const shown = inspection.images.filter((image) => large === null || image.n === large);
  const magnified = [over, defects.find((found) => found.number === chosen)?.n].find((n) => shown.some((image) => image.n === n)) ?? shown[0]?.n;
  return (
    <div className="views" style={{ gridTemplateColumns: `repeat(${columns(shown.length)}, minmax(0, 1fr))` }}>
      {shown.map((image) => (
        <figure key={image.n} className="view" onPointerEnter={() => setOver(image.n)} onPointerLeave={() => setOver(null)} data-fault={Boolean(image.camera_fault)} data-wide={large === null && shown.length === 3 && image.n === shown[0]?.n}>
          <figcaption>
            {image.verdict && <VerdictMark verdict={image.verdict} size={16} />}
            <strong>{image.view || text.everywhere.view({ n: image.n + 1 })}</strong>
            {image.camera_fault && <strong className="view-fault">{text.fault.what[image.camera_fault as CameraFault]}</strong>}
            <span className="quiet">
              {image.width} × {image.height}
            </span>
            {inspection.images.length > 1 && (
              <button type="button" className="link" onClick={() => setLarge(large === null ? image.n : null)}>
                {large === null ? text.inspect.large : text.inspect.allViews} <kbd>{large === null ? image.n + 1 : 0}</kbd>
              </button>
            )}
            <a className="link" href={pictures.original(inspection.id, image.n)} target="_blank" rel="noreferrer">
              {text.inspect.original}
            </a>
          </figcaption>
          <FrameViewer
            source={`${inspection.id}/${image.n}`}
            width={image.width}
            height={image.height}
            thumbnail={pictures.thumbnail(inspection.id, image.n, FIRST_PX)}
            tile={(level, column, row) => pictures.tile(inspection.id, image.n, level, column, row)}
            label={`${inspection.part}, ${image.view || text.everywhere.view({ n: image.n + 1 })}, ${looked(inspection, image)}`}
            defects={ofView.get(image.n) ?? NONE}
            chosen={chosen}
            look={look}
            filled={filled}
            hidden={hidden}
            loupe={loupe && image.n === magnified}
            onTouched={onTouched}
          />
        </figure>
      ))}
    </div>
  );
}
