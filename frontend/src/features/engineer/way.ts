import type { Expected, Process } from "../../api/words";

type Path = Expected["path"];
export type Band = { low: number; mean: number; high: number };
export type Point = {
  step: string;
  /** Of the step, counted from the first one of the process. */
  place: number;
  measured: number | null;
  /** Where nine in ten parts read that are run at nominal settings. */
  usual: Band | null;
  /** Where this part is expected to read. */
  ahead: Band | null;
  lower: number | null;
  upper: number | null;
};
export type Way = { characteristic: string; unit: string; points: Point[]; /** Since when it reads outside of the usual band. */ left: Point | null };

const bands = (path: Path): Map<string, Band> => new Map(path.flatMap(({ readings }) => Object.entries(readings)));

/** A part's way through the steps, one characteristic after the other, in the order in which they are first measured. Pure. */
export function waysOf(process: Process, observed: Readonly<Record<string, number>>, usual: Path, ahead: Path): Way[] {
  const [usually, expected] = [bands(usual), bands(ahead)];
  const found = new Map<string, Way>();
  process.steps.forEach((step, place) => {
    for (const [characteristic, { unit = "", lower = null, upper = null }] of Object.entries(step.measurements ?? {})) {
      const reading = `${step.name}.${characteristic}`;
      const way = found.get(characteristic) ?? { characteristic, unit, points: [], left: null };
      const measured = observed[reading] ?? null;
      way.points.push({ step: step.name, place, measured, usual: usually.get(reading) ?? null, ahead: measured === null ? (expected.get(reading) ?? null) : null, lower, upper });
      found.set(characteristic, way);
    }
  });
  return [...found.values()].map((way) => ({ ...way, left: leftAt(way.points) }));
}

/** Where a part left the band and did not come back; one reading outside that is followed by one inside is noise of the gauge. */
function leftAt(points: readonly Point[]): Point | null {
  let left: Point | null = null;
  for (const point of points) {
    if (point.measured === null || point.usual === null) continue;
    left = outside(point) ? (left ?? point) : null;
  }
  return left;
}

export const outside = ({ measured, usual }: Point): boolean => measured !== null && usual !== null && (measured < usual.low || measured > usual.high);

export const beyond = ({ measured, lower, upper }: Point): boolean => measured !== null && ((lower !== null && measured < lower) || (upper !== null && measured > upper));

/** The range of values that a drawing has to show; null where nothing is known. */
export function rangeOf(points: readonly Point[]): [number, number] | null {
  const values = points.flatMap(({ measured, usual, ahead, lower, upper }) => [measured, usual?.low, usual?.high, ahead?.low, ahead?.high, lower, upper]).filter((value) => value != null);
  if (values.length === 0) return null;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = (high - low || Math.abs(high) || 1) / 16;
  return [low - margin, high + margin];
}
