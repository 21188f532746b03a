import type { Month, Wrong } from "../../api/words";
import { text } from "../../text";
import { figure, fixed, money, range } from "../../ui/format";

export type Row = { name: string; value: string; between: string; formula: string };

/** One figure a row, each with the formula by which the server made it. */
export function rows(month: Month, words: Record<string, string>): Row[] {
  const sums = month.money;
  const row = (name: string, value: string, formula = name, between = ""): Row => ({
    name: words[name] ?? name,
    value,
    between,
    formula: month.formulas[formula] ?? "",
  });
  const found = [
    row("parts", fixed(month.parts, 0)),
    row("escapes", about(month.escapes), "escapes", ends(month.escapes)),
    row("false_rejects", about(month.false_rejects), "false_rejects", ends(month.false_rejects)),
    row("reviews", fixed(month.reviews, 0)),
    row("reviews_saved", month.reviews_saved === null ? "?" : figure(month.reviews_saved)),
    row("recovered", fixed(month.recovered, 0)),
  ];
  if (!sums) return found;
  const amount = (value: number | null) => (value === null ? "?" : money(value, sums.currency));
  const saved = sums.saved_low === null ? "" : range(amount(sums.saved_low), amount(sums.saved_high));
  return [...found, row("cost", amount(sums.cost)), row("cost_before", amount(sums.cost_before)), row("saved", amount(sums.saved), "saved", saved)];
}

/** An estimate; a question mark where nothing is known of the parts that nobody looked at. */
export const about = (wrong: Wrong): string =>
  wrong.estimate === null ? text.money.known({ known: wrong.known }) : figure(Number(wrong.estimate.toFixed(1)));

/** The ends of an interval. */
export const ends = (wrong: Wrong): string => range(figure(Number(wrong.low.toFixed(1))), figure(Number(wrong.high.toFixed(1))));

/** The month of a moment, `2026-11`, and so many months before it. */
export function months(now: Date, number: number): string[] {
  return Array.from({ length: number }, (_, back) => {
    const moment = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - back, 1));
    return moment.toISOString().slice(0, 7);
  });
}
