import { expect, it } from "vitest";
import type { Process } from "../../api/words";
import { beyond, rangeOf, waysOf } from "./way";

const steps = ["a", "b", "c", "d"].map((name) => ({ name, measurements: { width: { unit: "mm", lower: null, upper: name === "d" ? 12 : null } } }));
const process = { name: "bar", currency: "EUR", part: { value: 1, scrap: 0, escape: 1 }, conformance: ["d.width"], steps } as Process;
const along = (names: string[], mean: number) =>
  names.map((step) => ({ step, readings: { [`${step}.width`]: { mean, low: mean - 1, high: mean + 1, lower: null, upper: null, unit: "mm" } } }));
const usual = along(["a", "b", "c", "d"], 10);

it("says where a part left the band, if it did not come back", () => {
  const left = (observed: Record<string, number>) => waysOf(process, observed, usual, [])[0]?.left?.step;
  expect(left({ "a.width": 10, "b.width": 11.5, "c.width": 13 })).toBe("b");
  expect(left({ "a.width": 8, "b.width": 10, "c.width": 10.5 })).toBeUndefined();
  expect(left({ "a.width": 10, "c.width": 13 })).toBe("c");
  expect(left({})).toBeUndefined();
});

it("shows what is ahead only where nothing is measured, and values beyond a limit", () => {
  const [way] = waysOf(process, { "a.width": 10, "d.width": 12.5 }, usual, along(["b", "c", "d"], 11));
  expect(way?.points.map(({ ahead }) => ahead?.mean ?? null)).toEqual([null, 11, 11, null]);
  expect(way?.points.map(beyond)).toEqual([false, false, false, true]);
  expect(rangeOf(way?.points ?? [])?.[0]).toBeLessThan(9);
  expect(rangeOf([])).toBeNull();
});
