import { Link } from "wouter";
import { useCalls } from "../../api/calls";
import { text } from "../../text";
import { words as floor } from "../../text/floor";
import { left, useServerTime } from "../../ui/time";

/** Open calls, on top of every page of whoever leads: the one due soonest, and how many more. */
export function CallBar() {
  const items = useCalls(true).data?.items ?? [];
  const [call, ...more] = items;
  const now = useServerTime(call !== undefined);
  const words = floor.calls;
  if (!call) return null;
  return (
    <section className="alarms" aria-label={words.bar}>
      <ul>
        <li>
          <span aria-hidden="true">?</span>
          <strong>{call.part} · {call.station}</strong>
          <span className="alarm-what">{words.unsure({ by: call.by })}{call.question && `: ${call.question}`}</span>
          <strong>{text.call.left({ time: left(call.due_at, now) })}</strong>
          {more.length > 0 && <span>{floor.wall.more({ count: more.length })}</span>}
          <Link className="link" href="/calls">{words.answer}</Link>
        </li>
      </ul>
    </section>
  );
}
