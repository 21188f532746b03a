import type { Labeller } from "../../api/words";
import { text } from "../../text";
import { dayAndTime, fixed } from "../../ui/format";
import { HIGH, placed, WIDE } from "./quality";

/** A person's scores on golden tasks, each a dot: later is further right, better is higher. */
export function OverTime({ one }: { one: Labeller }) {
  const scores = one.marks.map(({ at, score }) => `${dayAndTime(at)} ${fixed(score, 2)}`).join(", ");
  return (
    <svg className="over-time" viewBox={`0 0 ${WIDE} ${HIGH}`} width={WIDE} height={HIGH} role="img" aria-label={text.quality.marksOf({ person: one.person, scores })}>
      <path d={`M0 4H${WIDE}M0 ${HIGH - 4}H${WIDE}`} stroke="var(--track)" />
      {placed(one.marks).map(({ x, y, mark }) => (
        <circle key={`${mark.task} ${mark.at}`} cx={x} cy={y} r="3" fill="var(--mark)" />
      ))}
    </svg>
  );
}
