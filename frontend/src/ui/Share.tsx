import { percentScale } from "../geometry/scale";

/** Where a figure lies, with the interval around it. */
export type Measured = { value: number; low: number; high: number };

/** A share between 0 and 1 drawn with its interval, so that a difference is seen before it is read; else the words only. */
export function Share({ share, words }: { share: Measured | null; words: string }) {
  const at = percentScale([0, 1]);
  return (
    <span className="share">
      {share && (
        <svg viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">
          <rect x="0" y="3" width="100" height="8" fill="var(--track)" />
          <rect x="0" y="3" width={at(share.value)} height="8" fill="var(--fill)" />
          {share.low < share.high && (
            <path d={`M${at(share.low)} 7H${at(share.high)}`} stroke="var(--mark)" strokeWidth="2" vectorEffect="non-scaling-stroke" />
          )}
        </svg>
      )}
      {words}
    </span>
  );
}
