import { fixed } from "../../ui/format";

/** How far a wager's evidence has come on the way to what is needed. Pure. */

/**
 * From 0 to 1, by the logarithm: a wager multiplies its money, so that every part that speaks for the challenger moves
 * the bar by about as much. Evidence of 1 or less says nothing yet.
 */
export function evidenceShare(evidence: number, needed: number): number {
  if (!(evidence > 1) || !(needed > 1)) return 0;
  return Math.min(1, Math.log(evidence) / Math.log(needed));
}

/** `1.0`, `8.4`, `37`, `> 1,000,000`: enough figures to see it move. */
export function evidenceText(evidence: number): string {
  if (evidence > 1e6) return `> ${fixed(1e6, 0)}`;
  return evidence < 10 ? fixed(evidence, 1) : fixed(Math.floor(evidence), 0);
}
