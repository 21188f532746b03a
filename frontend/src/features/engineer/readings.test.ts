import { expect, it } from "vitest";
import type { Process } from "../../api/words";
import { beyondLimits, fate, find, unitOf } from "./readings";

const process: Process = {
  name: "bar", currency: "EUR", part: { value: 1, scrap: 0, escape: -1 }, conformance: ["s2.angle"],
  steps: [
    { name: "s1", settings: { force: { low: 0, high: 2, nominal: 1 } }, measurements: { width: { lower: 1, upper: 2, unit: "mm" } } },
    { name: "s2", measurements: { angle: { lower: -1, upper: 1 }, dirt: { upper: 5 } } },
  ],
};

it("the worst reading comes first, by its share of the width between the limits", () => {
  const beyond = beyondLimits(process, { "s1.width": 2.1, "s2.angle": -2, "s2.dirt": 4, "s1.force": 9, "s9.unknown": 1 });
  expect(beyond.map((b) => [b.name, b.above, b.limit])).toEqual([["s2.angle", false, -1], ["s1.width", true, 2]]);
  expect(beyond[1]?.by).toBeCloseTo(0.1);
});

it("a name finds its step", () => {
  expect(find(process, "s1.force")?.setting?.nominal).toBe(1);
  expect(find(process, "s1.width.x")).toBeUndefined();
});

it("a characteristic has the unit in which it is first read", () => {
  expect([unitOf(process, "width"), unitOf(process, "angle"), unitOf(process, "colour")]).toEqual(["mm", "", ""]);
});

it("a part's fate is read from the readings that decide, and is unknown without them", () => {
  const finished = (observed: Record<string, number>) => fate(process, { disposition: "finished", observed });
  expect([finished({ "s2.angle": 0.5 }), finished({ "s2.angle": 1.5 }), finished({})]).toEqual(["in", "out", "unknown"]);
  expect(fate(process, { disposition: "scrapped", observed: {} })).toBe("scrapped");
});
