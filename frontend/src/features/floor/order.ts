import type { WallStation } from "../../api/words";

/** What is not as usual, worst first. */
const ORDER: readonly WallStation["state"][] = ["fault", "call", "alarm", "running", "quiet", "never"];

/** Stations of no line: nobody knows their places, so what is not as usual stands on top. */
export const worstFirst = (stations: readonly WallStation[]): WallStation[] =>
  stations.toSorted((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || a.name.localeCompare(b.name));

/** Columns for so many stations: as few as leave each one large. */
export const columnsFor = (count: number): number => (count <= 1 ? 1 : count <= 4 ? 2 : count <= 9 ? 3 : 4);

/** A share that is drawn, and where: per cent from the top of a drawing whose lowest line is 0 and whose highest is `most`. */
export const heightOf = (share: number, most: number): number => 100 * (1 - Math.min(share / most, 1));

/** The most that a drawing of shares shows: room above the limit, and above what lies beyond it. */
export const mostOf = (upper: number, points: readonly number[]): number => Math.min(1, Math.max(0.02, 1.3 * upper, 1.1 * Math.max(0, ...points)));
