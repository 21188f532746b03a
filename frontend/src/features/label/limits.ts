import type { Limit } from "../../api/book";
import { text } from "../../text";
import { exact } from "../../ui/format";

export const MEASURES = ["length_mm", "width_mm", "area_mm2"] as const;
export type Measure = (typeof MEASURES)[number];

/** What stands in the two fields of a measure while somebody types. */
export type Ends = { low: string; high: string };
export type Draft = Record<Measure, Ends>;

const typed = (value: number | null | undefined): string => (value == null ? "" : exact(value));

export function draftOf(limits: readonly Limit[]): Draft {
  const ends = (measure: Measure): Ends => {
    const limit = limits.find((one) => one.measure === measure);
    return { low: typed(limit?.low), high: typed(limit?.high) };
  };
  return { length_mm: ends("length_mm"), width_mm: ends("width_mm"), area_mm2: ends("area_mm2") };
}

/** The limits that were typed; null where a field is no number. A comma is a decimal point, too. */
export function limitsOf(draft: Draft): Limit[] | null {
  const found: Limit[] = [];
  for (const measure of MEASURES) {
    const [low, high] = [draft[measure].low, draft[measure].high].map((typed) => (typed.trim() === "" ? null : Number(typed.trim().replace(",", "."))));
    if (low === undefined || high === undefined || Number.isNaN(low) || Number.isNaN(high)) return null;
    if (low !== null || high !== null) found.push({ measure, low, high });
  }
  return found;
}

const UNIT: Record<Measure, string> = { length_mm: "mm", width_mm: "mm", area_mm2: "mm²" };

/** `length from 2 mm`, `width 0.1 to 3 mm`, `area up to 9 mm²`. */
export function limitText({ measure, low, high }: Limit): string {
  const words = text.book;
  const what = words.measure[measure];
  const measured = (value: number): string => `${exact(value)} ${UNIT[measure]}`;
  if (low === null || low === undefined) return words.upTo({ what, high: measured(high ?? 0) });
  return high === null || high === undefined ? words.from({ what, low: measured(low) }) : words.between({ what, low: exact(low), high: measured(high) });
}
