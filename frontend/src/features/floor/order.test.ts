import { expect, it } from "vitest";
import type { WallStation } from "../../api/words";
import { columnsFor, heightOf, mostOf, worstFirst } from "./order";

const station = (name: string, state: WallStation["state"]) => ({ name, state }) as WallStation;

it("what is not as usual stands first", () => {
  const all = [station("b", "running"), station("z", "alarm"), station("c", "fault"), station("a", "running"), station("d", "call")];
  expect(worstFirst(all).map(({ name }) => name)).toEqual(["c", "d", "z", "a", "b"]);
});

it("few stations are large", () => {
  expect([1, 2, 4, 5, 9, 10].map(columnsFor)).toEqual([1, 2, 2, 3, 3, 4]);
});

it("a drawing of shares holds its limit and every point", () => {
  expect(mostOf(0.1, [0.05])).toBeCloseTo(0.13);
  expect(mostOf(0.1, [0.5])).toBeCloseTo(0.55);
  expect(mostOf(0, [])).toBe(0.02);
  expect([heightOf(0, 0.2), heightOf(0.2, 0.2), heightOf(0.9, 0.2)]).toEqual([100, 0, 0]);
});
