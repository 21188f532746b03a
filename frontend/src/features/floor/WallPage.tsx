import { Link } from "wouter";
import { useConnection } from "../../api/connection";
import { useWall } from "../../api/wall";
import type { Wall } from "../../api/words";
import { text } from "../../text";
import { words as floor } from "../../text/floor";
import { clock } from "../../ui/format";
import { Empty, waiting } from "../../ui/States";
import { left, useServerTime } from "../../ui/time";
import { columnsFor, worstFirst } from "./order";
import { WallStation } from "./WallStation";
import "./wall.css";

/** Every line at a glance, from five metres: grey while all is as usual. Stands alone on its screen, without the pages' frame. */
export function WallPage() {
  const wall = useWall();
  const connection = useConnection();
  const now = useServerTime(true);
  const state = waiting(wall);
  const words = floor.wall;
  return (
    <div className="wall">
      <header className="wall-top">
        <h1>{text.product}</h1>
        {(connection === "away" || wall.isError) && <strong className="wall-old">{words.old}</strong>}
        <time>{clock(new Date(now).toISOString())}</time>
        <Link href="/inspect">{words.back}</Link>
      </header>
      {state ?? (wall.data && <Lines wall={wall.data} now={now} />)}
    </div>
  );
}

function Lines({ wall, now }: { wall: Wall; now: number }) {
  const words = floor.wall;
  const all = wall.lines.flatMap((line) => line.stations).length;
  if (all === 0) return <Empty title={words.empty} />;
  return (
    <main className="wall-body" data-calls={wall.calls.length > 0}>
      <div className="wall-lines">
        {wall.lines.map((line) => (
          <section key={line.name} aria-label={line.name || words.others} style={{ flexGrow: Math.ceil(line.stations.length / columnsFor(all)) }}>
            {(line.name || wall.lines.length > 1) && <h2>{line.name || words.others}</h2>}
            <div className="wall-stations" style={{ gridTemplateColumns: `repeat(${columnsFor(all)}, minmax(0, 1fr))` }}>
              {(line.name ? line.stations : worstFirst(line.stations)).map((station) => (
                <WallStation key={station.name} station={station} now={now} />
              ))}
            </div>
          </section>
        ))}
      </div>
      {wall.calls.length > 0 && (
        <aside className="wall-calls" aria-label={words.calls}>
          <h2>{words.calls}</h2>
          <ul>
            {wall.calls.map((call) => (
              <li key={call.id}>
                <strong className="wall-left">{left(call.due_at, now)}</strong>
                <strong>{call.part}</strong>
                <span>{call.station}</span>
                <span>{floor.calls.unsure({ by: call.by })}</span>
                {call.question && <span>{call.question}</span>}
              </li>
            ))}
          </ul>
        </aside>
      )}
    </main>
  );
}
