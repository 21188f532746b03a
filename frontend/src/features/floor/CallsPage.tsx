import { Button } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import { useAnswerCall, useCalls, useLeads } from "../../api/calls";
import { pictures, useInspection } from "../../api/inspections";
import type { Call } from "../../api/words";
import { text } from "../../text";
import { words as floor } from "../../text/floor";
import { dayAndTime } from "../../ui/format";
import { Reason } from "../../ui/Reason";
import { Empty, waiting } from "../../ui/States";
import { TakeAway } from "../../ui/TakeAway";
import { left, useServerTime } from "../../ui/time";
import { VerdictMark } from "../../ui/VerdictMark";
import "./calls.css";

/** Whoever leads the shift sees who is unsure, of what, and how much time is left; and answers with a reason. */
export function CallsPage() {
  const calls = useCalls(false);
  const state = waiting(calls);
  const words = floor.calls;
  if (state) return state;
  const open = (calls.data?.items ?? []).filter((call) => call.state === "open");
  const past = (calls.data?.items ?? []).filter((call) => call.state !== "open");
  return (
    <div className="page calls">
      <header className="page-head">
        <h1>{words.title}</h1>
        {calls.data && calls.data.items.length > 0 && <TakeAway csv="/api/v1/calls.csv" />}
      </header>
      {open.length === 0 ? (
        <Empty title={words.none}>{words.noneHelp}</Empty>
      ) : (
        <ul className="calls-open">
          {open.map((call) => (
            <OpenCall key={call.id} call={call} />
          ))}
        </ul>
      )}
      {past.length > 0 && (
        <>
          <h2>{words.past}</h2>
          <table className="table">
            <tbody>
              {past.map((call) => (
                <tr key={call.id}>
                  <td>
                    <Link href={`/inspect/${call.inspection_id}`}>{call.part}</Link>
                  </td>
                  <td>{call.station}</td>
                  <td>{words.unsure({ by: call.by })}{call.question && `: ${call.question}`}</td>
                  <td>{ended(call)}{call.reason && ` · ${call.reason}`}</td>
                  <td className="quiet">{dayAndTime(call.at)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </div>
  );
}

/** What came of a call, in words. */
function ended(call: Call): string {
  const { state } = floor.calls;
  const verdict = call.verdict ? text.verdict[call.verdict] : "";
  if (call.state === "answered") return state.answered({ verdict, by: call.answered_by });
  return call.state === "expired" ? state.expired({ verdict }) : state[call.state];
}

function OpenCall({ call }: { call: Call }) {
  const [asking, setAsking] = useState<"ok" | "ng" | null>(null);
  const may = useLeads();
  const answer = useAnswerCall();
  const { data } = useInspection(call.inspection_id);
  const now = useServerTime(true);
  const words = floor.calls;
  return (
    <li className="call" aria-label={call.part}>
      <Link href={`/inspect/${call.inspection_id}`} className="call-pictures">
        {data?.images.map((image) => (
          <img key={image.n} src={pictures.thumbnail(call.inspection_id, image.n, 320)} alt={image.view || text.everywhere.view({ n: image.n + 1 })} />
        ))}
        <span>{words.look}</span>
      </Link>
      <div className="call-what">
        <h2>
          {call.said && <VerdictMark verdict={call.said} size={18} />} {call.part} <span className="quiet">{call.station}</span>
        </h2>
        <p>{words.unsure({ by: call.by })}{call.question && `: ${call.question}`}</p>
        <p>
          <strong className="call-time">{text.call.left({ time: left(call.due_at, now) })}</strong> <span className="quiet">{words.otherwise[call.then]}</span>
        </p>
        {answer.error && (
          <p role="alert" className="problem">
            <strong>{text.inspect.notStored}</strong> {answer.error.message}
          </p>
        )}
      </div>
      {may && (
        <div className="call-answer">
          {asking ? (
            <Reason word={asking} sending={answer.isPending} cancel={() => setAsking(null)} send={(reason) => answer.mutate({ id: call.id, verdict: asking, reason })} />
          ) : (
            <>
              <Button variant="default" onClick={() => setAsking("ok")}>{words.ok}</Button>
              <Button variant="default" onClick={() => setAsking("ng")}>{words.ng}</Button>
            </>
          )}
        </div>
      )}
    </li>
  );
}
