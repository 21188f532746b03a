import type { Inspection } from "../../api/words";
import { text } from "../../text";
import { left, useServerTime } from "../../ui/time";
import { VerdictMark } from "../../ui/VerdictMark";

type Props = { inspection: Inspection; /** The call waits on this computer: nobody is called yet. */ kept: boolean; withdrawn: boolean };

/** That the team leader was called to this part: how much time is left, or that nobody came and what holds then. */
export function CallNote({ inspection, kept, withdrawn }: Props) {
  const { call } = inspection;
  const open = call?.state === "open";
  const now = useServerTime(open);
  const words = text.call;
  if (withdrawn) return null;
  if (kept) return <p className="call-note" role="status">{words.kept}</p>;
  if (!call || call.state === "answered") return null;
  if (!open)
    return (
      <p className="call-note" role="status">
        {call.verdict && <VerdictMark verdict={call.verdict} size={20} />} <strong>{call.verdict === "ng" ? words.expiredNg : words.expiredReview}</strong>
      </p>
    );
  return (
    <p className="call-note" role="status">
      <strong>{words.called({ by: call.by })}</strong> <span className="call-left">{words.left({ time: left(call.due_at, now) })}</span>
      {call.question && <span className="quiet"> {call.question}</span>}
    </p>
  );
}
