import type { Defect, Inspection } from "../../api/words";

/** A defect's place as the server counts: from 0 over all images of the part, in their order; -1 where it is not. */
export const placeOf = (inspection: Inspection, defect: Defect): number =>
  inspection.images.flatMap((image) => image.defects).indexOf(defect);

const LEAST_PX = 64;
const AROUND = 1.5;

/** A square around a defect, inside its frame: `[x, y, width, height]` in frame pixels. */
export function around(bbox: readonly number[], width: number, height: number): [number, number, number, number] {
  const [x = 0, y = 0, w = 0, h = 0] = bbox;
  const side = Math.max(LEAST_PX, Math.round(AROUND * Math.max(w, h)));
  const wide = Math.min(side, width);
  const high = Math.min(side, height);
  const left = Math.round(Math.min(Math.max(x + w / 2 - wide / 2, 0), width - wide));
  const top = Math.round(Math.min(Math.max(y + h / 2 - high / 2, 0), height - high));
  return [left, top, wide, high];
}
