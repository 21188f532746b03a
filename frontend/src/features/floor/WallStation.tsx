import type { CameraFault, Trend as Chart, WallStation as Station } from "../../api/words";
import { text } from "../../text";
import { words as floor } from "../../text/floor";
import { ago, percent } from "../../ui/format";
import { Served } from "../../ui/Served";
import { heightOf, mostOf } from "./order";

/** Each state has a shape of its own, so that colour only repeats what it says. */
const SHAPE: Record<Station["state"], string> = { fault: "✖", call: "?", alarm: "▲", running: "●", quiet: "○", never: "–" };

/** One station: its state, what it did in the last hour, its trend, and what is not as usual. */
export function WallStation({ station, now }: { station: Station; now: number }) {
  const words = floor.wall;
  const { trend, cameras, alarms } = station;
  const [first, ...more] = [
    ...cameras.map(({ view, fault }) => <span key={view}>{words.camera({ view, fault: text.fault.what[fault as CameraFault] ?? fault })}</span>),
    ...alarms.map(({ id, message }) => <Served key={id} text={message} />),
  ];
  return (
    <article className="wall-station" data-state={station.state} aria-label={station.name}>
      <header>
        <h3>{station.name}</h3>
        <strong className="wall-state">
          <span aria-hidden="true">{SHAPE[station.state]}</span> {words.state[station.state]}
        </strong>
      </header>
      <dl className="wall-figures">
        <div>
          <dt>{words.hour}</dt>
          <dd>{station.hour}</dd>
        </div>
        <div data-beyond={Boolean(trend?.rule)}>
          <dt>{words.bad}</dt>
          <dd>{station.hour > 0 ? percent(station.ng / station.hour) : "–"}</dd>
        </div>
        <div>
          <dt>{words.review}</dt>
          <dd>{station.hour > 0 ? percent(station.review / station.hour) : "–"}</dd>
        </div>
      </dl>
      {trend && <Trend trend={trend} />}
      {first && (
        <p className="wall-trouble">
          {first}
          {more.length > 0 && <span className="wall-more"> {words.more({ count: more.length })}</span>}
        </p>
      )}
      <p className="wall-quiet">
        {station.last_at && words.last({ ago: ago(station.last_at, now) })}
        {station.mode !== "decide" && ` · ${words.mode[station.mode]}`}
      </p>
    </article>
  );
}

/** A p-chart: points between dashed limits; one beyond them is filled and larger. */
function Trend({ trend }: { trend: Chart }) {
  const words = floor.wall;
  const { points, upper, lower, usual } = trend;
  const now = points.at(-1);
  if (trend.learnt < trend.learn) return <p className="wall-quiet">{words.learning({ n: trend.learnt, all: trend.learn })}</p>;
  if (now === undefined) return <p className="wall-quiet">{words.filling}</p>;
  const most = mostOf(upper, points);
  const beyond = (share: number) => share > upper || share < lower;
  const x = (place: number) => (points.length === 1 ? 50 : 2 + (96 * place) / (points.length - 1));
  const said = words.trendIs({ size: trend.group, now: percent(now), usual: percent(usual), lower: percent(lower), upper: percent(upper) });
  return (
    <figure className="wall-trend">
      <svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label={said}>
        <path className="limit" d={[upper, lower].filter((share) => share > 0).map((share) => `M0 ${heightOf(share, most)}H100`).join("")} />
        <path className="usual" d={`M0 ${heightOf(usual, most)}H100`} />
        <path className="line" d={`M${points.map((share, place) => `${x(place)} ${heightOf(share, most)}`).join("L")}`} />
        {points.map((share, place) => (
          <path key={place} className="point" data-beyond={beyond(share)} d={`M${x(place)} ${heightOf(share, most)}h0`} />
        ))}
      </svg>
      <figcaption>
        <span>{words.trend({ size: trend.group })}</span>
        <span>
          {words.usual({ usual: percent(usual) })} · {words.limit({ limit: percent(upper) })}
        </span>
      </figcaption>
    </figure>
  );
}
