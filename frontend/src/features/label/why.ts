import type { LabelTask } from "../../api/words";
import { text } from "../../text";
import { percent } from "../../ui/format";

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

/** What the tasks of a part leave out, in words; null where they show everything. */
export function partly({ defects, of, area }: NonNullable<LabelTask["shown"]>): string | null {
  const words = text.label.shown;
  if (of > 0) return defects < of ? words.defects({ n: defects, of }) : null;
  return area < 1 ? words.area({ share: percent(area) }) : null;
}
