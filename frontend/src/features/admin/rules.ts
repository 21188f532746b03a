/** A product's file as the form holds it (qc/verdict.py says what each word means). Pure. */

export const SIZES = ["score", "length_px", "width_px", "area_px", "length_mm", "width_mm", "area_mm2"] as const;
export type Size = (typeof SIZES)[number];

/** Never, or from these sizes on; no size: any defect that was found. */
export type Rule = "never" | Partial<Record<Size, number>>;
export type ClassRule = { ng?: Rule; review?: Rule };
export type Box = [x: number, y: number, width: number, height: number];
export type Zone = { name?: string; view?: string | null; box?: Box; polygon?: [number, number][]; classes?: Record<string, ClassRule> };
/** One number for all views, or by station and view. */
export type ByView = number | Record<string, Record<string, number>> | null;
export type Costs = { currency?: string; escape?: number; false_reject?: number; review?: number };
/** Calls to the team leader (server/call_rules.py): seconds to answer, those of single stations, and what holds when nobody came. */
export type Doubt = { seconds?: number; stations?: Record<string, number>; then?: "ng" | "review" };
export type Content = {
  default?: ClassRule;
  classes?: Record<string, ClassRule> | null;
  zones?: Zone[] | null;
  mm_per_px?: ByView;
  camera_bits?: ByView;
  money?: Costs | null;
  doubt?: Doubt | null;
  [more: string]: unknown;
};

/** Depths of a camera that puts its bits into 16 (qc/frame.py, DEPTHS). */
export const DEPTHS = [10, 12, 14, 16] as const;

/** What holds where the file says nothing, and the most it may say. */
export const USUAL_S = 300;
export const DAY_S = 86_400;

/** With a time of its own for a station; null: it has none. */
export function withStation(doubt: Doubt, station: string, seconds: number | null): Doubt {
  const { [station]: _, ...others } = doubt.stations ?? {};
  const stations = seconds === null ? others : { ...doubt.stations, [station]: seconds };
  const { stations: __, ...rest } = doubt;
  return Object.keys(stations).length === 0 ? rest : { ...rest, stations };
}

/** How a rule is told apart in a list of choices. */
export const kindOf = (rule: Rule | undefined): "never" | "any" | "limits" => (rule === "never" ? "never" : rule && Object.keys(rule).length > 0 ? "limits" : "any");

/** The sizes that are not limited yet. */
export const freeSizes = (rule: Partial<Record<Size, number>>): Size[] => SIZES.filter((size) => !(size in rule));

/** The box between two points, whole pixels, inside its picture; null for a click that drew nothing. */
export function boxBetween(a: readonly [number, number], b: readonly [number, number], width: number, height: number): Box | null {
  const [left, right] = [Math.min(a[0], b[0]), Math.max(a[0], b[0])].map((x) => Math.round(Math.min(Math.max(x, 0), width)));
  const [top, bottom] = [Math.min(a[1], b[1]), Math.max(a[1], b[1])].map((y) => Math.round(Math.min(Math.max(y, 0), height)));
  const box: Box = [left ?? 0, top ?? 0, (right ?? 0) - (left ?? 0), (bottom ?? 0) - (top ?? 0)];
  return box[2] >= 4 && box[3] >= 4 ? box : null;
}

/** The corners of a zone, whichever way it is told. */
export function corners(zone: Zone): [number, number][] {
  if (zone.polygon) return zone.polygon;
  const [x, y, w, h] = zone.box ?? [0, 0, 0, 0];
  return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]];
}

/** With one view's number set (null: taken away); one number for all views becomes one for each view that is known. */
export function withView(told: ByView | undefined, station: string, view: string, number: number | null, known: readonly { station: string; view: string }[]): ByView {
  const all: Record<string, Record<string, number>> = {};
  if (typeof told === "number") for (const one of known) (all[one.station] ??= {})[one.view] = told;
  else for (const [name, views] of Object.entries(told ?? {})) all[name] = { ...views };
  if (number === null) delete all[station]?.[view];
  else (all[station] ??= {})[view] = number;
  for (const name of Object.keys(all)) if (Object.keys(all[name] ?? {}).length === 0) delete all[name];
  return Object.keys(all).length === 0 ? null : all;
}

export const atView = (told: ByView | undefined, station: string, view: string): number | null =>
  typeof told === "number" ? told : (told?.[station]?.[view] ?? null);

/** What is sent: without what is empty, so that the file says no more than was meant. */
export function tidy(content: Content): Content {
  return Object.fromEntries(
    Object.entries(content).filter(([, value]) => value !== null && value !== undefined && !(Array.isArray(value) && value.length === 0) && !(typeof value === "object" && !Array.isArray(value) && Object.keys(value).length === 0)),
  );
}
