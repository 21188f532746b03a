import { expect, test } from "vitest";
import { leadingPlan } from "./leading";

const plans = [{ plan: "each" }, { plan: "scrap" }];
const batch = (...apart: boolean[]) => ({ decision: "scrap" as const, plans, parts: apart.map((one) => ({ apart: one })) });

test("a batch of which most parts can be saved one by one is not headed by “scrap all”", () => {
  expect(leadingPlan(batch(true, true, false))).toBe("each");
});

test("one decision leads where it fits half of the parts, or all", () => {
  expect(leadingPlan(batch(true, false))).toBe("scrap");
  expect(leadingPlan(batch(false, false))).toBe("scrap");
});

test("where parts share settings nobody is told to treat each by itself", () => {
  expect(leadingPlan({ ...batch(true, true), decision: "shared", plans: [{ plan: "shared" }] })).toBe("shared");
});
