import { expect, test } from "vitest";
import type { Month } from "../../api/words";
import { months, rows } from "./rows";

const wrong = { known: 1, sampled: 10, sampled_wrong: 1, others: 40, estimate: 5, low: 1.1, high: 18.8 };
const month: Month = {
  product: "bar",
  month: "2026-03",
  parts: 50,
  failed: 1,
  ok: 40,
  ng: 5,
  reviews: 5,
  escapes: wrong,
  false_rejects: { ...wrong, estimate: null, known: 2, low: 2, high: 42 },
  reviews_saved: 45,
  recovered: 0,
  recovered_worth: 0,
  money: { currency: "EUR", cost: 510, cost_before: 175, saved: -335, saved_low: -1700, saved_high: 40 },
  products: ["bar"],
  formulas: { escapes: "how", saved: "before less now" },
};

test("every figure stands with its interval and its formula", () => {
  const found = Object.fromEntries(rows(month, {}).map((row) => [row.name, row]));
  expect(found.escapes).toMatchObject({ value: "5", between: "1.1 to 18.8", formula: "how" });
  expect(found.saved).toMatchObject({ value: "−\u2060€335.00", between: "−\u2060€1,700 to €40.00", formula: "before less now" });
});

test("what nobody knows is not given as a number", () => {
  const found = Object.fromEntries(rows(month, {}).map((row) => [row.name, row]));
  expect(found.false_rejects?.value).toBe("? (2 known)");
  expect(rows({ ...month, money: null }, {}).map((row) => row.name)).not.toContain("saved");
});

test("months go back over the turn of a year", () => {
  expect(months(new Date("2026-02-28T23:00:00Z"), 4)).toEqual(["2026-02", "2026-01", "2025-12", "2025-11"]);
});
