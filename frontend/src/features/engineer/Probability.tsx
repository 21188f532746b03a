import { percentScale } from "../../geometry/scale";
import { text } from "../../text";
import { fixed, percent } from "../../ui/format";

/** How many of 100 such parts end outside: people judge a count more surely than a chance. */
const outside = (chance: number): string => {
  const parts = 100 * (1 - chance);
  return parts > 0 && parts < 1 ? text.engineer.fewerThanOne : fixed(parts, 0);
};

/** The chance to end within specification: a bar from 0 to 100 % with the 90 % interval as a whisker, and what it means in parts and money. */
export function Probability({ chance, interval, escape }: { chance: number | null; interval: readonly number[] | null; escape: string }) {
  if (chance === null) return <p className="quiet">{text.engineer.chanceUnknown}</p>;
  const at = percentScale([0, 1]);
  const [low = chance, high = chance] = interval ?? [];
  const words = text.engineer.chanceIs({ chance: percent(chance), low: percent(low), high: percent(high) });
  return (
    <figure className="probability">
      <svg viewBox="0 0 100 14" preserveAspectRatio="none" role="img" aria-label={words}>
        <rect x="0" y="3" width="100" height="8" fill="var(--track)" />
        <rect x="0" y="3" width={at(chance)} height="8" fill="var(--fill)" />
        <path d={`M${at(low)} 7H${at(high)}M${at(low)} 2v10M${at(high)} 2v10`} stroke="var(--mark)" strokeWidth="2" vectorEffect="non-scaling-stroke" />
      </svg>
      <figcaption>
        <strong>{percent(chance)}</strong> <span className="quiet">{text.engineer.interval({ low: percent(low), high: percent(high) })}</span>
        <p>{text.engineer.risk({ parts: outside(chance), least: outside(high), most: outside(low), escape })}</p>
      </figcaption>
    </figure>
  );
}
