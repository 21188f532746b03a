import { Link } from "wouter";
import { outbox, useOutbox, type Word, verdictOf } from "../../api/outbox";
import { text } from "../../text";

/** What was said and is not stored yet, on top of every page; and what the server did not take, until a person has seen it. */
export function OutboxBar() {
  const words = useOutbox();
  const refused = words.filter((word) => word.refused);
  const waiting = words.length - refused.length;
  if (words.length === 0) return null;
  return (
    <section className="alarms" aria-label={text.outbox.title}>
      {waiting > 0 && <p role="status">{text.outbox.waiting({ count: waiting })}</p>}
      <ul>
        {refused.map((word) => (
          <li key={word.id} role="alert">
            <strong>{text.outbox.refused({ word: named(word), part: word.part })}</strong>
            <span className="alarm-what">{word.refused}</span>
            <Link className="link" href={`/inspect/${word.inspection}`}>
              {text.outbox.look}
            </Link>
            <button type="button" className="link" onClick={() => outbox.drop(word.id)}>
              {text.outbox.seen}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** What was said, in a word. */
function named(word: Word): string {
  const verdict = verdictOf(word);
  if (verdict) return text.verdict[verdict];
  return word.kind === "call" ? text.call.word : text.inspect.undo;
}
