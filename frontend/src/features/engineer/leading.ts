import type { BatchDecision } from "../../api/batches";

/** The plan that leads the page: the one decision for all parts, unless most of them are better treated apart. */
export function leadingPlan(decision: Pick<BatchDecision, "decision"> & { parts: readonly { apart: boolean }[] }): BatchDecision["decision"] | "each" {
  return 2 * decision.parts.filter((part) => part.apart).length > decision.parts.length ? "each" : decision.decision;
}
