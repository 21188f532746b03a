import { text } from "../text";
import type { Verdict } from "../api/words";

/** Colour only where something is abnormal (ISA-101); vermillion and orange of Okabe and Ito, told apart by everybody. */
export const VERDICT_COLOUR: Record<Verdict, string> = { ok: "#5b6670", review: "#e69f00", ng: "#d55e00" };

/** A verdict as a shape: circle with a tick, triangle with a question mark, octagon with a cross. */
export function VerdictMark({ verdict, size = 20 }: { verdict: Verdict; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" role="img" aria-label={text.verdict[verdict]} className="mark">
      {verdict === "ok" && (
        <>
          <circle cx="12" cy="12" r="9.5" fill="#fff" stroke="#5b6670" strokeWidth="2" />
          <path d="m7.5 12.4 3 3 6-6.4" fill="none" stroke="#5b6670" strokeWidth="2.2" />
        </>
      )}
      {verdict === "review" && (
        <>
          <path d="M12 1.8 23 21.5H1Z" fill="#e69f00" stroke="#6b4a00" strokeWidth="1.2" strokeLinejoin="round" />
          <path d="M9.2 11a2.8 2.6 0 1 1 4 2.3c-.9.5-1.2.9-1.2 1.9" fill="none" stroke="#1c2126" strokeWidth="2" />
          <circle cx="12" cy="18.4" r="1.25" fill="#1c2126" />
        </>
      )}
      {verdict === "ng" && (
        <>
          <path d="M7.4 1h9.2L23 7.4v9.2L16.6 23H7.4L1 16.6V7.4Z" fill="#d55e00" stroke="#7a3600" strokeWidth="1.2" />
          <path d="m7.5 7.5 9 9m0-9-9 9" stroke="#fff" strokeWidth="2.8" />
        </>
      )}
    </svg>
  );
}

const ORDER: Verdict[] = ["ok", "review", "ng"];

/** The verdict by position as well: always the same three places, one of them filled. */
export function VerdictLamp({ verdict }: { verdict: Verdict }) {
  return (
    <div className="lamp" role="group" aria-label={text.verdictIs({ verdict: text.verdict[verdict] })} data-verdict={verdict}>
      {ORDER.map((place) => (
        <div key={place} className="lamp-place" data-on={place === verdict} data-verdict={place} aria-hidden={place !== verdict}>
          {place === verdict && <VerdictMark verdict={place} size={28} />}
          <span>{text.verdict[place]}</span>
        </div>
      ))}
    </div>
  );
}
