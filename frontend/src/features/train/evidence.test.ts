import { expect, it } from "vitest";
import { evidenceShare, evidenceText } from "./evidence";

it("evidence is drawn by its logarithm, from nothing said to proved", () => {
  expect([0.2, 1, 10, 100, 1e9].map((e) => evidenceShare(e, 100))).toEqual([0, 0, 0.5, 1, 1]);
  expect(evidenceShare(5, 1)).toBe(0);
});

it("evidence short of what is needed never reads as if it were enough", () => {
  expect([1, 8.36, 19.97, 1234.5, 3e7].map(evidenceText)).toEqual(["1.0", "8.4", "19", "1,234", "> 1,000,000"]);
});
