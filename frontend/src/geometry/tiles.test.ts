import { expect, it } from "vitest";
import { boxOf } from "./frame";
import { tilesFor } from "./tiles";
import { framePx, screenPx } from "./units";

const frame = { width: framePx(4000), height: framePx(3000) }; // levels 0 to 12

it("a crop inside one tile of the full picture is cut out of it", () => {
  const [only, ...more] = tilesFor(boxOf([520, 520, 256, 256]), frame, screenPx(256));
  expect(more).toEqual([]);
  expect(only).toEqual({ level: 12, column: 1, row: 1, left: -8 / 256, top: -8 / 256, width: 2, height: 2 });
});

it("a large crop comes from a smaller level, that is still as sharp as it is shown", () => {
  const tiles = tilesFor(boxOf([0, 0, 2000, 1000]), frame, screenPx(300));
  expect(new Set(tiles.map((tile) => tile.level))).toEqual(new Set([10])); // halved twice: 500 px for 300
  expect(tiles).toHaveLength(1);
  expect(tiles[0]?.width).toBeCloseTo(2048 / 2000);
});

it("a crop on the corner of four tiles takes all four, side by side without a gap", () => {
  const tiles = tilesFor(boxOf([412, 412, 200, 200]), frame, screenPx(200));
  expect(tiles.map(({ column, row }) => [column, row])).toEqual([[0, 0], [1, 0], [0, 1], [1, 1]]);
  expect((tiles[0]?.left ?? 0) + (tiles[0]?.width ?? 0)).toBeCloseTo(tiles[1]?.left ?? NaN);
});

it("the last tile is as wide as what is left of the picture, and nothing lies beyond the edge", () => {
  const tiles = tilesFor(boxOf([3900, 2900, 300, 300]), frame, screenPx(300));
  expect(tiles.every(({ column, row }) => column === 7 && row === 5)).toBe(true);
  expect(tiles[0]).toMatchObject({ width: (4000 - 7 * 512) / 300, height: (3000 - 5 * 512) / 300 });
});
