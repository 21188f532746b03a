import { useState } from "react";
import { pictures } from "../../api/inspections";
import type { Defect, Exposure, Inspection } from "../../api/words";
import { boxOf, centreOf, lookAt, pathOf, pathOfBox } from "../../geometry/frame";
import { framePx, mm } from "../../geometry/units";
import { text } from "../../text";
import { words } from "../../text/desk";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { percent, showMm, showPx } from "../../ui/format";
import { Crop } from "../../viewer/Crop";
import { classColour } from "../../viewer/palette";

/** Longer side of a view's picture on paper, in px: 150 to the inch on the width of an A4 page. */
const SIDE = 1024;

/** So many defects are shown close by, the surest; and at least so much of the frame around them, in px. */
const CLOSE = 4;
const AROUND = 96;

/** One view on paper: its picture with numbered outlines, the surest defects close by, and all of them as a table. */
export function ReportView({ inspection, image }: { inspection: Inspection; image: Exposure }) {
  const [gone, setGone] = useState(false);
  const named = words.report;
  const defects = image.defects.toSorted((a, b) => Number(b.counts) - Number(a.counts) || b.score - a.score);
  const name = image.view || text.everywhere.view({ n: image.n + 1 });
  const frame = { width: framePx(image.width), height: framePx(image.height) };
  const tall = Math.max(image.width, image.height);
  return (
    <figure className="report-view">
      <figcaption>
        <strong>{name}</strong> <span className="quiet">{image.width} × {image.height} px</span>
      </figcaption>
      {gone && <p className="quiet">{named.gone}</p>}
      <svg viewBox={`0 0 ${image.width} ${image.height}`} role="img" aria-label={`${inspection.part}, ${name}`} data-gone={gone}>
        <image href={pictures.thumbnail(inspection.id, image.n, SIDE)} width={image.width} height={image.height} onError={() => setGone(true)} />
        {defects.map((defect, place) => (
          <Outline key={place} defect={defect} number={place + 1} size={tall / 45} />
        ))}
      </svg>
      {!gone && defects.length > 0 && (
        <ul className="report-close" aria-label={named.close}>
          {defects.slice(0, CLOSE).map((defect, place) => {
            const box = lookAt(boxOf(defect.bbox), frame, framePx(Math.min(AROUND, image.width, image.height)));
            return (
              <li key={place}>
                <Crop crop={[box.x, box.y, box.width, box.height]} frame={image} wide={150} label={`${place + 1}: ${defect.class}`}
                  tile={(level, column, row) => pictures.tile(inspection.id, image.n, level, column, row)} />
                {place + 1}: {defect.class}
              </li>
            );
          })}
        </ul>
      )}
      {defects.length === 0 ? <p className="quiet">{named.noDefects}</p> : <Defects defects={defects} />}
      <p className="quiet report-hash">
        {named.hash}: {image.sha256}
      </p>
    </figure>
  );
}

function Outline({ defect, number, size }: { defect: Defect; number: number; size: number }) {
  const box = boxOf(defect.bbox);
  const [x] = centreOf(box);
  const path = pathOf(defect.outline) || pathOfBox(box);
  return (
    <g className="defect" data-counts={defect.counts}>
      <path d={path} className="halo" />
      <path d={path} className="line" stroke={classColour(defect.class_id)} fill="none" />
      <text x={x} y={Math.max(box.y - size / 3, size)} fontSize={size} textAnchor="middle" className="report-number">
        {number}
      </text>
    </g>
  );
}

function Defects({ defects }: { defects: readonly Defect[] }) {
  const named = words.report;
  const length = (defect: Defect, what: "length" | "width") => {
    const calibrated = defect[`${what}_mm`];
    return calibrated === null ? showPx(framePx(defect[`${what}_px`])) : showMm(mm(calibrated));
  };
  return (
    <table className="facts">
      <ColumnHeads names={[named.number, named.class, named.sure, named.length, named.width]} />
      <tbody>
        {defects.map((defect, place) => (
          <tr key={place}>
            <th scope="row">{place + 1}</th>
            <td>
              {defect.class} {!defect.counts && <em className="quiet">{named.doubtful}</em>}
            </td>
            <td>{percent(defect.score)}</td>
            <td>{length(defect, "length")}</td>
            <td>{length(defect, "width")}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
