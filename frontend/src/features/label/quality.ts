import type { Agreement, Labeller } from "../../api/words";
import { fixed, range } from "../../ui/format";

/** Agreement figures in the order in which they are read; what an older server does not send is left out. */
export const FIGURES = ["defect_f1", "defect_f1_tiny", "defect_f1_small", "defect_f1_large", "mask_iou", "kappa", "alpha"] as const;

/** `0.82 (0.70 to 0.91)`, without the interval where there is only one part, and nothing where nothing is known. */
export function agreementText({ value, low, high }: Pick<Agreement, "value" | "low" | "high">): string {
  if (value === null) return "";
  return low === null || high === null ? fixed(value, 2) : `${fixed(value, 2)} (${range(fixed(low, 2), fixed(high, 2))})`;
}

/** How a labeller changes: only what is certain is said to be better or worse. */
export function trend({ change_per_30_days: change, change_is_certain: certain }: Labeller): "better" | "worse" | "steady" | "unknown" {
  if (change === null) return "unknown";
  if (!certain || change === 0) return "steady";
  return change > 0 ? "better" : "worse";
}
