import type { Advice, Process } from "../../api/words";
import { text } from "../../text";
import { percent } from "../../ui/format";

/** The steps in order; the height is each step's share of the deviation, the mark is where the part stands now. */
export function Causes({ advice, process }: { advice: Advice; process: Process }) {
  const words = text.engineer;
  const share = new Map(advice.causes.map((cause) => [cause.step, cause.share]));
  const most = Math.max(0.01, ...share.values());
  const now = process.steps.findIndex((step) => step.name === advice.at);
  const named = advice.causes.filter((cause) => cause.share >= 0.05).slice(0, 4);
  const width = 100 / process.steps.length;
  return (
    <div className="causes">
      <svg viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label={words.causes({ causes: named.map((c) => `${c.step} ${percent(c.share)}`).join(", ") })}>
        {process.steps.map((step, place) => {
          const height = (24 * (share.get(step.name) ?? 0)) / most;
          const x = place * width;
          return (
            <g key={step.name}>
              <title>{`${step.name}${step.partner ? `, ${step.partner}` : ""}${step.factory ? `, ${step.factory}` : ""}: ${percent(share.get(step.name) ?? 0)}`}</title>
              <rect x={x} y="0" width={width} height="30" fill={place >= now ? "var(--base)" : "var(--card)"} />
              <rect x={x + width * 0.12} y={25} width={width * 0.76} height="1.2" fill="var(--bar)" />
              <rect x={x + width * 0.12} y={25 - height} width={width * 0.76} height={height} fill="var(--strong)" />
            </g>
          );
        })}
        {now >= 0 && <path d={`M${now * width} 0V30`} stroke="var(--now)" strokeWidth="2" vectorEffect="non-scaling-stroke" />}
      </svg>
      <div className="causes-ends">
        <span>{process.steps[0]?.name}</span>
        <span className="causes-now">{words.causesNow({ step: advice.at })}</span>
        <span>{process.steps.at(-1)?.name}</span>
      </div>
      <ul>
        {named.map((cause) => (
          <li key={cause.step}>
            <strong>{percent(cause.share)}</strong> {cause.step}
          </li>
        ))}
        {named.length === 0 && <li className="quiet">{words.noCause}</li>}
      </ul>
    </div>
  );
}
