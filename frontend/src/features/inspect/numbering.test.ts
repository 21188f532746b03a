import { expect, it } from "vitest";
import type { Inspection } from "../../api/words";
import { nextNumber, numbered } from "./numbering";

const image = (n: number, defects: { counts: boolean; score: number }[]) => ({ n, view: n ? "left" : "", defects });

it("what counts comes first, the surest first, whatever the view", () => {
  const part = {
    images: [image(0, [{ counts: false, score: 0.9 }]), image(1, [{ counts: true, score: 0.6 }, { counts: true, score: 0.8 }])],
  } as unknown as Inspection;
  expect(numbered(part).map((d) => [d.number, d.view, d.defect.score])).toEqual([
    [1, "left", 0.8], [2, "left", 0.6], [3, "View 1", 0.9],
  ]);
});

it("the next defect goes around", () => {
  expect([nextNumber(null, 3, 1), nextNumber(3, 3, 1), nextNumber(1, 3, -1), nextNumber(null, 3, -1)]).toEqual([1, 1, 3, 3]);
  expect(nextNumber(null, 0, 1)).toBeNull();
});
