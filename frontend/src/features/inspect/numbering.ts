import type { Defect, Inspection } from "../../api/words";
import { text } from "../../text";
import { NUMBERED } from "../../viewer/drawing";

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

/** Defects of one class that stand in one line together: all of them count, or all are doubtful. */
export type Group = { key: string; name: string; classId: number; counts: boolean; members: readonly Numbered[] };

/** So few more than have a number on the picture are listed as well: a line of its own would say no less. */
const FEW_MORE = 2;

/** The defects that matter most, in their order, and the others of many by class: what counts first, then the largest group. */
export function grouped(defects: readonly Numbered[]): { first: readonly Numbered[]; groups: Group[] } {
  if (defects.length <= NUMBERED + FEW_MORE) return { first: defects, groups: [] };
  const groups = new Map<string, Group & { members: Numbered[] }>();
  for (const found of defects.slice(NUMBERED)) {
    const { class_id, class: name, counts } = found.defect;
    const key = `${counts} ${class_id}`;
    const group = groups.get(key) ?? { key, name, classId: class_id, counts, members: [] };
    group.members.push(found);
    groups.set(key, group);
  }
  const made = [...groups.values()];
  made.sort((a, b) => Number(b.counts) - Number(a.counts) || b.members.length - a.members.length);
  return { first: defects.slice(0, NUMBERED), groups: made };
}
