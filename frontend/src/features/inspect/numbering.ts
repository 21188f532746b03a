import type { Defect, Inspection } from "../../api/words";
import { text } from "../../text";

/** A defect of a part with the number people call it by, and the view it lies on. */
export type Numbered = { defect: Defect; number: number; n: number; view: string };

/** The part's defects in the order of the list: those that count first, then the doubtful; numbered from 1. */
export function numbered(inspection: Inspection): Numbered[] {
  const all = inspection.images.flatMap((image) =>
    image.defects.map((defect) => ({ defect, n: image.n, view: image.view || text.everywhere.view({ n: image.n + 1 }) })),
  );
  all.sort((a, b) => Number(b.defect.counts) - Number(a.defect.counts) || b.defect.score - a.defect.score);
  return all.map((found, place) => ({ ...found, number: place + 1 }));
}

/** The number after (or before) the chosen one, around the end; null where there are none. */
export function nextNumber(chosen: number | null, count: number, step: 1 | -1): number | null {
  if (count === 0) return null;
  if (chosen === null) return step === 1 ? 1 : count;
  return ((chosen - 1 + step + count) % count) + 1;
}
