import { percentScale } from "../../geometry/scale";
import { percent } from "../../ui/format";

/** The chance to end within specification: a bar from 0 to 100 % with the 90 % interval as a whisker. */
export function Probability({ chance, interval }: { chance: number | null; interval: readonly number[] | null }) {
  if (chance === null) return <p className="quiet">No probability: the history says nothing about this.</p>;
  const at = percentScale([0, 1]);
  const [low = chance, high = chance] = interval ?? [];
  const words = `${percent(chance)} to finish within specification, between ${percent(low)} and ${percent(high)} (90 % interval)`;
  return (
    <figure className="probability">
      <svg viewBox="0 0 100 14" preserveAspectRatio="none" role="img" aria-label={words}>
        <rect x="0" y="3" width="100" height="8" fill="#e3e7ea" />
        <rect x="0" y="3" width={at(chance)} height="8" fill="#6d7983" />
        <path d={`M${at(low)} 7H${at(high)}M${at(low)} 2v10M${at(high)} 2v10`} stroke="#111417" strokeWidth="2" vectorEffect="non-scaling-stroke" />
      </svg>
      <figcaption>
        <strong>{percent(chance)}</strong> <span className="quiet">90 % interval {percent(low)} to {percent(high)}</span>
      </figcaption>
    </figure>
  );
}
