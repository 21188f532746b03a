import type { Decision } from "../../api/words";
import { text } from "../../text";

const SHAPE: Record<Decision, string> = { continue: "→", correct: "↷", scrap: "✕", measure: "◎", abstain: "?" };

/** A decision as a sign and a word; coloured only where a part is given up or a person must think. */
export function DecisionMark({ decision, large = false }: { decision: Decision; large?: boolean }) {
  return (
    <span className="decision" data-decision={decision} data-large={large}>
      <span aria-hidden="true">{SHAPE[decision]}</span> {text.engineer.decision[decision]}
    </span>
  );
}
