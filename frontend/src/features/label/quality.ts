import type { Agreement, Labeller } from "../../api/words";
import { fixed, range } from "../../ui/format";

type Mark = Labeller["marks"][number];

/** Agreement figures in the order in which they are read; what an older server does not send is left out. */
export const FIGURES = ["defect_f1", "defect_f1_tiny", "defect_f1_small", "defect_f1_large", "mask_iou", "kappa", "alpha"] as const;

/** `0.82 (0.70 to 0.91)`, without the interval where there is only one part, and nothing where nothing is known. */
export function agreementText({ value, low, high }: Pick<Agreement, "value" | "low" | "high">): string {
  if (value === null) return "";
  return low === null || high === null ? fixed(value, 2) : `${fixed(value, 2)} (${range(fixed(low, 2), fixed(high, 2))})`;
}

/** How a labeller changes: only what is certain is said to be better or worse. */
export function trend({ change_per_30_days: change, change_is_certain: certain }: Labeller): "better" | "worse" | "steady" | "unknown" {
  if (change === null) return "unknown";
  if (!certain || change === 0) return "steady";
  return change > 0 ? "better" : "worse";
}

/** What people scored on one golden task, the latest first. */
export function marksOf(task: string, labellers: readonly Labeller[]): { person: string; at: string; score: number }[] {
  return labellers
    .flatMap(({ person, marks }) => marks.filter((mark) => mark.task === task).map(({ at, score }) => ({ person, at, score })))
    .toSorted((a, b) => b.at.localeCompare(a.at) || a.person.localeCompare(b.person));
}

/** Of the picture of a person's scores, in CSS pixels; the dots stay clear of its edge. */
export const WIDE = 160;
export const HIGH = 36;
const EDGE = 4;

/** Where each score's dot lies: from the first to the last across, from 0 to 1 upwards; a single one in the middle. */
export function placed(marks: readonly Mark[]): { x: number; y: number; mark: Mark }[] {
  const times = marks.map(({ at }) => Date.parse(at));
  const first = Math.min(...times);
  const span = Math.max(...times) - first;
  return marks.map((mark, n) => ({
    x: span > 0 ? EDGE + ((WIDE - 2 * EDGE) * ((times[n] ?? first) - first)) / span : WIDE / 2,
    y: EDGE + (HIGH - 2 * EDGE) * (1 - mark.score),
    mark,
  }));
}
