import { describe, expect, it } from "vitest";
import type { Part } from "../../api/parts";
import { shareOf, shownOn } from "./joined";

const part = {
  defects: [
    {
      number: 1,
      verdict: "ng",
      sightings: [
        { view: 0, defect: 2, by_place: true },
        { view: 1, defect: 0, by_place: false },
      ],
      silent: [2],
    },
    { number: 2, verdict: "ok", sightings: [{ view: 0, defect: 0, by_place: true }], silent: [] },
  ],
} as unknown as Part;

describe("the defects of a part on its views", () => {
  it("are found among the image's own, whatever their order", () => {
    expect(shownOn(part, 0)).toEqual([
      { number: 1, defect: 2, counts: true },
      { number: 2, defect: 0, counts: false },
    ]);
    expect(shownOn(part, 2)).toEqual([]);
  });

  it("are shown, shown somewhere, missing or beyond the frame", () => {
    expect([0, 1, 2, 3].map((view) => shareOf(part, 1, view))).toEqual(["shows", "shows somewhere", "silent", "elsewhere"]);
  });
});
