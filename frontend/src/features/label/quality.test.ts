import { expect, it } from "vitest";
import { agreementText, HIGH, marksOf, placed, trend, WIDE } from "./quality";

it("an interval is told only where there is one", () => {
  expect(agreementText({ value: 0.824, low: 0.7, high: 0.914 })).toBe("0.82 (0.70 to 0.91)");
  expect(agreementText({ value: 0.5, low: null, high: null })).toBe("0.50");
  expect(agreementText({ value: null, low: null, high: null })).toBe("");
});

it("a labeller is called better or worse only when that is certain", () => {
  const of = (change_per_30_days: number | null, change_is_certain: boolean) =>
    trend({ person: "eva", tasks: 9, score: 0.8, change_per_30_days, change_is_certain, marks: [] });
  expect([of(null, false), of(-0.2, false), of(-0.2, true), of(0.1, true)]).toEqual(["unknown", "steady", "worse", "better"]);
});

const mark = (task: string, at: string, score: number) => ({ task, at, score });

it("what people scored on a golden task is told with the latest first, and nothing of other tasks", () => {
  const one = { tasks: 2, score: 0.8, change_per_30_days: null, change_is_certain: false };
  const labellers = [
    { ...one, person: "ann", marks: [mark("a", "2026-03-01T08:00:00Z", 0.5), mark("b", "2026-03-02T08:00:00Z", 1)] },
    { ...one, person: "ben", marks: [mark("a", "2026-03-03T08:00:00Z", 0.9)] },
  ];
  expect(marksOf("a", labellers).map(({ person, score }) => [person, score])).toEqual([["ben", 0.9], ["ann", 0.5]]);
  expect(marksOf("c", labellers)).toEqual([]);
});

it("a later score lies further right and a better one higher, all of them inside", () => {
  const [first, middle, last] = placed([mark("a", "2026-03-01T00:00:00Z", 0), mark("b", "2026-03-02T00:00:00Z", 0.5), mark("c", "2026-03-05T00:00:00Z", 1)]);
  expect([first?.x, first?.y, last?.x, last?.y]).toEqual([4, HIGH - 4, WIDE - 4, 4]);
  expect(middle?.x).toBeCloseTo(4 + (WIDE - 8) / 4);
  expect(placed([mark("a", "2026-03-01T00:00:00Z", 1)])[0]?.x).toBe(WIDE / 2);
  expect(placed([])).toEqual([]);
});
