import { expect, it } from "vitest";
import { boxBetween, corners, freeSizes, kindOf, atView, tidy, withView, withStation } from "./rules";

it("a rule is never, any defect, or from a size on", () => {
  expect([kindOf("never"), kindOf({}), kindOf(undefined), kindOf({ length_px: 30 })]).toEqual(["never", "any", "any", "limits"]);
  expect(freeSizes({ score: 0.5 })).not.toContain("score");
});

it("a zone is drawn from any corner to any other, and stays on its picture", () => {
  expect(boxBetween([100, 80], [20, 10.4], 640, 480)).toEqual([20, 10, 80, 70]);
  expect(boxBetween([600, 400], [900, 900], 640, 480)).toEqual([600, 400, 40, 80]);
  expect(boxBetween([10, 10], [11, 200], 640, 480)).toBeNull();
  expect(corners({ box: [1, 2, 10, 20] })).toEqual([[1, 2], [11, 2], [11, 22], [1, 22]]);
});

it("one view is calibrated without the others losing their scale", () => {
  const known = [{ station: "s", view: "left" }, { station: "s", view: "right" }];
  expect(withView(0.05, "s", "left", 0.04, known)).toEqual({ s: { left: 0.04, right: 0.05 } });
  expect(withView({ t: { "": 0.1 } }, "s", "left", 0.04, known)).toEqual({ t: { "": 0.1 }, s: { left: 0.04 } });
  expect(withView({ s: { left: 0.04 } }, "s", "left", null, known)).toBeNull();
  expect([atView(0.05, "s", "x"), atView({ s: { x: 0.2 } }, "s", "x"), atView(null, "s", "x")]).toEqual([0.05, 0.2, null]);
});

it("what is empty is not written", () => {
  expect(tidy({ default: { ng: {} }, classes: {}, zones: [], mm_per_px: null, gate: { golden: 1 } })).toEqual({ default: { ng: {} }, gate: { golden: 1 } });
});

it("a station gets and loses a time of its own, and an empty list is not written", () => {
  const two = withStation({ seconds: 120, stations: { a: 60 } }, "b", 30);
  expect(two).toEqual({ seconds: 120, stations: { a: 60, b: 30 } });
  expect(withStation(withStation(two, "a", null), "b", null)).toEqual({ seconds: 120 });
});
