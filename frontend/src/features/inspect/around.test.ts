import { describe, expect, it } from "vitest";
import type { Defect, Inspection } from "../../api/words";
import { around, placeOf } from "./around";

describe("what is shown around a defect", () => {
  it("is a square about it that stays inside the frame", () => {
    expect(around([500, 300, 100, 20], 2000, 1000)).toEqual([475, 235, 150, 150]);
    expect(around([0, 0, 4, 4], 2000, 1000)).toEqual([0, 0, 64, 64]);
    expect(around([1990, 990, 10, 10], 2000, 1000)).toEqual([1936, 936, 64, 64]);
    expect(around([5, 5, 10, 10], 40, 30)).toEqual([0, 0, 40, 30]);
  });

  it("counts defects over all images, as the server does", () => {
    const [one, two, three] = [{}, {}, {}] as Defect[];
    const part = { images: [{ defects: [one, two] }, { defects: [three] }] } as unknown as Inspection;
    expect([one, two, three].map((defect) => placeOf(part, defect as Defect))).toEqual([0, 1, 2]);
    expect(placeOf(part, {} as Defect)).toBe(-1);
  });
});
