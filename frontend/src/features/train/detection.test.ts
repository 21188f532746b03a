import { expect, it } from "vitest";
import { detectionOf, missesOf, points } from "./detection";

const one = { defects: 30, hits: 25, intercept: -4, slope: 2, a90: { value: 22, low: 15, high: 40 }, a90_95: 35, note: "" };
const figures = {
  detection: { unit: "px", at_score: 0.5, sizes: [3, 120], all: one, classes: { scratch: { ...one, defects: 12 }, dent: { defects: 0, hits: 0 } } },
  misses: [{ image: "a.png", class: "scratch", length_px: 14.2, found_at: 0.31 }],
};

it("the curve is told for all defects and for each class that has any", () => {
  const told = detectionOf(figures);
  expect(told?.curves.map((curve) => [curve.name, curve.defects, curve.a90, curve.a9095])).toEqual([["", 30, 22, 35], ["scratch", 12, 22, 35]]);
  const drawn = points(told?.curves[0] ?? expect.unreachable(), [3, 120]);
  expect(drawn[0]?.[0]).toBeCloseTo(3);
  expect(drawn.at(-1)?.[0]).toBeCloseTo(120);
  expect(drawn.every(([, chance], place) => place === 0 || chance > (drawn[place - 1]?.[1] ?? 1))).toBe(true);
  expect(points({ ...(told?.curves[0] ?? expect.unreachable()), slope: null }, [3, 120])).toEqual([]);
});

it("a card that says nothing of it is not made to", () => {
  expect([detectionOf({}), detectionOf({ detection: { sizes: [4, 4] } }), missesOf({})]).toEqual([null, null, null]);
  expect(missesOf(figures)).toEqual([{ image: "a.png", className: "scratch", length: 14.2, foundAt: 0.31 }]);
});
