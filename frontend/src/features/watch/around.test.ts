import { expect, it } from "vitest";
import { imageFor, viewOf } from "./around";

const images = [{ n: 0, view: "top", score: 0.1 }, { n: 1, view: "left", score: 0.8 }, { n: 2, view: "right", score: null }];

it("a camera's alarm shows that camera's pictures, any other the worst of the part", () => {
  expect(imageFor(images, { figures: { view: "right" } })).toBe(2);
  expect(imageFor(images, { figures: { view: "#0" } })).toBe(0);
  expect(imageFor(images, { figures: {} })).toBe(1);
  expect(imageFor([], { figures: { view: "top" } })).toBe(0);
});

it("a view without a name is told by its place", () => {
  expect([viewOf({ figures: { view: "#2" } }), viewOf({ figures: { view: "top" } }), viewOf({ figures: {} })]).toEqual([
    { name: "", n: 2 }, { name: "top", n: null }, null,
  ]);
});
