import { expect, test } from "vitest";
import { draftOf, limitsOf, limitText } from "./limits";

test("limits survive being shown in fields and read back", () => {
  const limits = [
    { measure: "length_mm" as const, low: 2, high: null },
    { measure: "area_mm2" as const, low: null, high: 9.5 },
  ];
  expect(limitsOf(draftOf(limits))).toEqual(limits);
  expect(limits.map((limit) => limitText(limit))).toEqual(["length from 2 mm", "area up to 9.5 mm²"]);
});

test("a comma is a decimal point, and what is no number is said to be none", () => {
  const draft = draftOf([]);
  expect(limitsOf({ ...draft, width_mm: { low: "0,1", high: "3" } })).toEqual([{ measure: "width_mm", low: 0.1, high: 3 }]);
  expect(limitsOf({ ...draft, width_mm: { low: "thin", high: "" } })).toBeNull();
});
