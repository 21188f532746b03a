import { describe, expect, it } from "vitest";
import { apart, boxOf, lookAt, pathOf, pathOfBox } from "./frame";
import { percentScale, rangeWithZero } from "./scale";
import { framePx, screenPx, toMm, toScreen } from "./units";

describe("lengths", () => {
  it("become millimetres by the station's scale", () => {
    expect(toMm(framePx(200), { mmPerPx: 0.05 })).toBeCloseTo(10);
    expect(toScreen(framePx(200), { screenPxPerPx: 0.5 })).toBe(100);
  });
});

describe("an outline", () => {
  it("runs through pixel centres, and one pixel is still a place", () => {
    expect(pathOf([[[0, 0], [4, 0], [4, 2]]])).toBe("M0.5 0.5L4.5 0.5L4.5 2.5Z");
    expect(pathOf([[[7, 9]]])).toBe("M7 9h1v1h-1Z"); // a canvas draws no line of no length
    expect(pathOf([[]])).toBe("");
    expect(pathOfBox(boxOf([1, 2, 3, 4]))).toBe("M1 2h3v4h-3Z");
  });
});

it("numbers that would cover each other give way to the first of them", () => {
  const places = [{ x: 0, y: 0 }, { x: 10, y: 4 }, { x: 20, y: 0 }, { x: 10, y: 40 }];
  expect(apart(places, screenPx(18))).toEqual([true, false, true, true]);
});

describe("looking at a defect", () => {
  const frame = { width: framePx(1000), height: framePx(500) };
  it("shows it in the middle with its surroundings", () => {
    expect(lookAt(boxOf([400, 200, 100, 50]), frame, framePx(60))).toEqual({ x: 300, y: 150, width: 300, height: 150 });
  });
  it("stays on the frame at its corners, and within it for a defect as large as the part", () => {
    expect(lookAt(boxOf([0, 0, 2, 2]), frame, framePx(128))).toEqual({ x: 0, y: 0, width: 128, height: 128 });
    expect(lookAt(boxOf([998, 498, 2, 2]), frame, framePx(128))).toEqual({ x: 872, y: 372, width: 128, height: 128 });
    expect(lookAt(boxOf([0, 0, 1000, 500]), frame, framePx(128))).toEqual({ x: 0, y: 0, width: 1000, height: 500 });
  });
});

describe("a drawn line", () => {
  it("holds zero and every value", () => {
    expect(rangeWithZero([31.2, -12, 1.5])).toEqual([-14.16, 33.36]);
    expect(rangeWithZero([3])).toEqual([0, 3.15]);
    expect(rangeWithZero([])).toEqual([0, 1]);
  });
  it("never draws outside of itself", () => {
    const at = percentScale([-10, 30]);
    expect([at(-10), at(0), at(30), at(99)]).toEqual([0, 25, 100, 100]);
    expect(percentScale([1, 1])(5)).toBe(50);
  });
});
