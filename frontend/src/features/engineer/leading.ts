import type { BatchDecision } from "../../api/batches";

type Told = Pick<BatchDecision, "decision"> & { parts: readonly { apart: boolean }[]; plans: readonly { plan: string }[] };

/** The plan that leads the page: the one decision for all parts, unless most are better treated apart and can be, sharing nothing. */
export function leadingPlan(decision: Told): BatchDecision["decision"] | "each" {
  if (!decision.plans.some((one) => one.plan === "each")) return decision.decision;
  return 2 * decision.parts.filter((part) => part.apart).length > decision.parts.length ? "each" : decision.decision;
}
