/** Where a value lies on a drawn line. Pure. */

/** Maps `from[0]..from[1]` to 0..100 (per cent of the drawing), without leaving it. An empty range maps to the middle. */
export function percentScale(from: readonly [number, number]): (value: number) => number {
  const [low, high] = from;
  if (!(high > low)) return () => 50;
  return (value) => Math.min(100, Math.max(0, (100 * (value - low)) / (high - low)));
}

/** The smallest range that holds all values and zero, with a margin of a twentieth on the sides that are used. */
export function rangeWithZero(values: readonly number[]): [number, number] {
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values);
  if (low === high) return [0, 1];
  const margin = (high - low) / 20;
  return [low < 0 ? low - margin : 0, high > 0 ? high + margin : 0];
}
