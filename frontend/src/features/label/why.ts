import type { LabelTask } from "../../api/words";

export const REASONS = ["disagreement", "uncertainty", "novelty", "rarity"] as const;
export type ReasonName = (typeof REASONS)[number];

/** Below this a reason speaks too softly to be named. */
const SOFT = 0.2;

/** What speaks for a task, loudest first. */
export function whys({ reasons }: Pick<LabelTask, "reasons">): { name: ReasonName; value: number }[] {
  return REASONS.map((name) => ({ name, value: reasons[name] ?? 0 }))
    .filter(({ value }) => value >= SOFT)
    .sort((a, b) => b.value - a.value);
}
