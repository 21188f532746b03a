import type { Lever } from "../../api/words";

/** The order and the scale in which levers are drawn. Pure. */

/** Strongest first; what moves nothing keeps the order of processing, at the end. */
export const byStrength = (levers: readonly Lever[]): Lever[] => levers.toSorted((a, b) => Math.abs(b.effect) - Math.abs(a.effect));

/** How far the drawing reaches on either side of zero: all intervals of these levers, and a quarter of half a tolerance at least. */
export const farthest = (levers: readonly Lever[]): number =>
  Math.max(0.25, ...levers.flatMap((lever) => [Math.abs(lever.effect_low), Math.abs(lever.effect_high)])) * 1.05;

/** Where lines help to read it: the tolerance's edges where they are in sight, else halves and quarters. */
export function ticks(reach: number): number[] {
  const step = reach >= 4 ? Math.ceil(reach / 3) : reach >= 1 ? 1 : reach >= 0.5 ? 0.5 : 0.25;
  const count = Math.floor(reach / step);
  return Array.from({ length: 2 * count + 1 }, (_, place) => (place - count) * step);
}
