import { text } from "../../text";
import { exact, fixed, range } from "../../ui/format";
import type { Measured } from "../../ui/Share";

/** A model's figures as rows to show: nested objects flattened, the deciding ones first and in words. Pure. */

export type Figure = { text: string; /** Where it lies, for figures between 0 and 1. */ share: Measured | null };
export type Row = { name: string; deciding: boolean; values: (Figure | null)[] };

/** What decides, in the order in which it is read. */
const WORDS: readonly (readonly [RegExp, (part: string) => string])[] = [
  [/^overall$/, () => text.train.figures.overall],
  [/^defect_recall_at_0\.1$/, () => text.train.figures.oneInTen],
  [/^defect_recall_at_1$/, () => text.train.figures.oneEach],
  [/^image_ap$/, () => text.train.figures.ap],
  [/^mean_(class_)?iou$/, () => text.train.figures.iou],
  [/^classes\.(?!background)([^.]+)\.iou$/, (name) => text.train.figures.classIou({ name })],
  [/^escapes$/, () => text.train.figures.escapes],
  [/^false_rejects$/, () => text.train.figures.rejects],
  [/^defective_images$/, () => text.train.figures.defective],
  [/^clean_images$/, () => text.train.figures.clean],
];

const readable = (name: string): string => name.replaceAll("_", " ").replaceAll(/\.(?!\d)/g, ", ");

function flat(figures: unknown, prefix = ""): [string, Figure][] {
  if (typeof figures !== "object" || figures === null) return [];
  return Object.entries(figures).flatMap(([key, value]): [string, Figure][] => {
    const name = prefix ? `${prefix}.${key}` : key;
    if (typeof value === "number") return [[name, number(name, value)]];
    if (isMeasured(value)) return [[name, { text: `${fixed(value.value, 2)} (${range(fixed(value.low, 2), fixed(value.high, 2))})`, share: value }]];
    return Array.isArray(value) ? [] : flat(value, name);
  });
}

/** What the card draws in a place of its own. */
const OWN_PLACE = /^(detection|misses)\b/;

/** Names of what is counted, not a share of something. */
const COUNTED = /(escapes|rejects|images|used|parts)$/;

const number = (name: string, value: number): Figure => ({
  text: Number.isInteger(value) ? exact(value) : fixed(value, 3),
  share: COUNTED.test(name) || value < 0 || value > 1 ? null : { value, low: value, high: value },
});

function isMeasured(value: unknown): value is Measured {
  const one = value as Partial<Measured> | null;
  return typeof one === "object" && one !== null && [one.value, one.low, one.high].every((part) => typeof part === "number");
}

/** One row for each figure that any of the models has: the deciding ones first, then the others as they come. */
export function sideBySide(models: readonly unknown[]): Row[] {
  const columns = models.map((figures) => new Map(flat(figures).filter(([name]) => !OWN_PLACE.test(name))));
  const names = [...new Set(columns.flatMap((column) => [...column.keys()]))];
  const place = (name: string): number => WORDS.findIndex(([pattern]) => pattern.test(name));
  const row = (name: string): Row => {
    const known = WORDS[place(name)];
    return {
      name: known ? known[1](known[0].exec(name)?.[1] ?? "") : readable(name),
      deciding: known !== undefined,
      values: columns.map((column) => column.get(name) ?? null),
    };
  };
  const order = (name: string): number => (place(name) < 0 ? WORDS.length : place(name));
  return names.sort((a, b) => order(a) - order(b)).map(row);
}
