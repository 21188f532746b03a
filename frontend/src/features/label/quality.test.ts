import { expect, it } from "vitest";
import { agreementText, trend } from "./quality";

it("an interval is told only where there is one", () => {
  expect(agreementText({ value: 0.824, low: 0.7, high: 0.914 })).toBe("0.82 (0.70 to 0.91)");
  expect(agreementText({ value: 0.5, low: null, high: null })).toBe("0.50");
  expect(agreementText({ value: null, low: null, high: null })).toBe("");
});

it("a labeller is called better or worse only when that is certain", () => {
  const of = (change_per_30_days: number | null, change_is_certain: boolean) =>
    trend({ person: "eva", tasks: 9, score: 0.8, change_per_30_days, change_is_certain });
  expect([of(null, false), of(-0.2, false), of(-0.2, true), of(0.1, true)]).toEqual(["unknown", "steady", "worse", "better"]);
});
