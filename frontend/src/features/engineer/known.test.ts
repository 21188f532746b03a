import { expect, it } from "vitest";
import { known } from "./known";

const report = {
  history: {
    parts: 500,
    drift: { "s10-chrome": { angle: 0.2, width: -0.01 } },
    capability: { readings: { "s2.angle": { cpk: 1.4, ppk: 1.2, within: 0.999 }, "s1.width": { cpk: 0.7, ppk: 0.6, within: 0.95 }, "s1.new": { cpk: null } } },
  },
  promises: { finished: 210, promised: 0.93, kept: 0.81, withdrawn: true },
  check: { coverage90: { as_fitted: 0.84, widened: 0.9 } },
  not_identified: ["s1.force"],
  steps: [{ effects: [{}, {}] }, { effects: [{}] }],
};

it("the least capable reading is told, and those without a figure are passed over", () => {
  expect(known(report).leastCpk).toBe(0.7);
});

it("promises, widening, drift and what is not identified are read from the report", () => {
  const told = known(report);
  expect(told.promises).toEqual({ finished: 210, promised: 0.93, kept: 0.81, withdrawn: true });
  expect(told.coverage).toEqual({ fitted: 0.84, widened: 0.9 });
  expect([told.notIdentified, told.settings]).toEqual([["s1.force"], 3]);
  expect(told.drifting).toEqual([{ step: "s10-chrome", acts: [{ name: "angle", by: 0.2 }, { name: "width", by: -0.01 }] }]);
});

it("a report of an older version says less, and nothing wrong", () => {
  const empty = { parts: null, promises: null, coverage: null, notIdentified: [], settings: 0, drifting: [], leastCpk: null };
  expect(known({})).toEqual(empty);
  expect(known({ promises: { finished: 0, promised: null, kept: null, withdrawn: false } }).promises).toBeNull();
});
