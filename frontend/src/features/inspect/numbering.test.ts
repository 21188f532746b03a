import { expect, it } from "vitest";
import type { Inspection } from "../../api/words";
import { grouped, nextNumber, numbered } from "./numbering";

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

it("ten are listed, the others of many stand by class; none is lost, and what counts comes first", () => {
  const found = [
    ...Array.from({ length: 12 }, (_, n) => ({ counts: true, score: 0.99 - n / 100, class: "pit", class_id: 3 })),
    ...Array.from({ length: 40 }, (_, n) => ({ counts: false, score: 0.4 - n / 1000, class: n % 4 ? "dent" : "pit", class_id: n % 4 ? 2 : 3 })),
  ];
  const all = numbered({ images: [{ n: 0, view: "", defects: found }] } as unknown as Inspection);
  const { first, groups } = grouped(all);
  expect(first.map((d) => d.number)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(groups.map(({ name, counts, members }) => [name, counts, members.length])).toEqual([["pit", true, 2], ["dent", false, 30], ["pit", false, 10]]);
  expect([...first, ...groups.flatMap((group) => group.members)].map((d) => d.number).toSorted((a, b) => a - b)).toEqual(all.map((d) => d.number));
});

it("of a few nothing is folded", () => {
  const all = numbered({ images: [{ n: 0, view: "", defects: Array.from({ length: 12 }, () => ({ counts: false, score: 0.3, class: "pit", class_id: 3 })) }] } as unknown as Inspection);
  expect(grouped(all)).toEqual({ first: all, groups: [] });
});
