import { useMemo } from "react";
import { useExpected } from "../../api/processes";
import type { Process, Recommendation } from "../../api/words";
import { percentScale } from "../../geometry/scale";
import { text } from "../../text";
import { words } from "../../text/desk";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { figure, range } from "../../ui/format";
import { waiting } from "../../ui/States";
import { type Band, beyond, outside, type Point, rangeOf, type Way, waysOf } from "./way";
import "./way.css";

type Props = { recommendation: Recommendation; process: Process; name: string };

/** A part's way through all steps: what was measured, over where parts usually lie, with limits, and where it goes from here. */
export function PartWay({ recommendation: { part, at, request, answer }, process, name }: Props) {
  const observed = request.observed ?? {};
  const first = process.steps[0]?.name ?? at;
  const usual = useExpected(name, { part, at: first, observed: {}, settings: {}, run: [] });
  const ahead = useExpected(name, { ...request, settings: answer.settings, run: answer.run });
  const ways = useMemo(() => waysOf(process, observed, usual.data?.path ?? [], ahead.data?.path ?? []), [process, observed, usual.data, ahead.data]);
  const said = words.way;
  return (
    <section className="way" aria-label={said.title}>
      <h3>{said.title}</h3>
      <p className="quiet">{said.help}</p>
      {waiting(usual)}
      <div className="ways">
        {ways.map((way) => (
          <Drawn key={way.characteristic} way={way} steps={process.steps.length} now={process.steps.findIndex((step) => step.name === at)} at={at} last={process.steps.at(-1)?.name ?? at} first={first} />
        ))}
      </div>
      <details>
        <summary>{said.numbers}</summary>
        <Numbers ways={ways} />
      </details>
    </section>
  );
}

/** Where the part stands with one characteristic, in words. */
function sentence({ characteristic, unit, points, left }: Way): string {
  const said = words.way;
  if (left?.usual) return said.left({ name: characteristic, step: left.step, value: `${figure(left.measured ?? 0)} ${unit}`, band: range(figure(left.usual.low), figure(left.usual.high)) });
  return points.some(({ measured }) => measured !== null) ? said.within({ name: characteristic }) : said.unmeasured({ name: characteristic });
}

type DrawnProps = { way: Way; steps: number; now: number; first: string; at: string; last: string };

function Drawn({ way, steps, now, first, at, last }: DrawnProps) {
  const { points, unit } = way;
  const ends = rangeOf(points);
  if (ends === null) return null;
  const up = percentScale(ends);
  const x = (place: number) => (100 * (place + 0.5)) / steps;
  const y = (value: number) => 100 - up(value);
  const dots = (chosen: readonly Point[]) => chosen.map(({ place, measured }) => `M${x(place).toFixed(2)} ${y(measured ?? 0).toFixed(2)}h0`).join("");
  const measured = points.filter((point) => point.measured !== null);
  const half = 50 / steps;
  return (
    <figure>
      <figcaption data-left={way.left !== null}>{sentence(way)}</figcaption>
      <div className="way-drawing">
        <span>{figure(ends[1])}</span>
        <svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label={sentence(way)}>
          <path className="way-usual" d={area(points, (point) => point.usual, x, y)} />
          <path className="way-ahead" d={area(points, (point) => point.ahead, x, y)} />
          {now >= 0 && <path className="way-now" d={`M${(100 * now) / steps} 0V100`} />}
          <path className="way-limit" d={points.flatMap(({ place, lower, upper }) => [lower, upper].map((limit) => (limit === null ? "" : `M${x(place) - half} ${y(limit)}h${2 * half}`))).join("")} />
          <path className="way-line" d={measured.map(({ place, measured: value }, n) => `${n === 0 ? "M" : "L"}${x(place).toFixed(2)} ${y(value ?? 0).toFixed(2)}`).join("")} />
          <path className="way-dot" d={dots(measured.filter((point) => !outside(point)))} />
          <path className="way-dot" data-outside="true" d={dots(measured.filter(outside))} />
          <path className="way-dot" data-beyond="true" d={dots(measured.filter(beyond))} />
        </svg>
        <span>
          {figure(ends[0])} {unit}
        </span>
      </div>
      <div className="causes-ends">
        <span>{first}</span>
        <span className="causes-now">{text.engineer.causesNow({ step: at })}</span>
        <span>{last}</span>
      </div>
    </figure>
  );
}

/** A band from step to step, broken where nothing is known of one. */
function area(points: readonly Point[], band: (point: Point) => Band | null, x: (place: number) => number, y: (value: number) => number): string {
  const runs: { place: number; band: Band }[][] = [[]];
  for (const point of points) {
    const found = band(point);
    if (found) runs.at(-1)?.push({ place: point.place, band: found });
    else runs.push([]);
  }
  return runs
    .filter((run) => run.length > 0)
    .map((run) => {
      const wide = run.length === 1 ? [{ ...run[0]!, place: run[0]!.place - 0.4 }, { ...run[0]!, place: run[0]!.place + 0.4 }] : run; // a single step is seen, too
      const there = wide.map((one) => `${x(one.place).toFixed(2)} ${y(one.band.high).toFixed(2)}`);
      const back = wide.toReversed().map((one) => `${x(one.place).toFixed(2)} ${y(one.band.low).toFixed(2)}`);
      return `M${[...there, ...back].join("L")}Z`;
    })
    .join("");
}

function Numbers({ ways }: { ways: readonly Way[] }) {
  const said = words.way;
  const rows = ways.flatMap(({ characteristic, unit, points }) => points.map((point) => ({ point, unit, name: `${point.step}.${characteristic}` }))).toSorted((a, b) => a.point.place - b.point.place);
  const between = (low: number | null | undefined, high: number | null | undefined) => (low == null && high == null ? "–" : range(low == null ? "…" : figure(low), high == null ? "…" : figure(high)));
  return (
    <table className="facts">
      <ColumnHeads names={[said.reading, said.measured, said.usual, said.ahead, said.limits]} />
      <tbody>
        {rows.map(({ point, unit, name }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td className={beyond(point) ? "beyond" : undefined}>
              {point.measured === null ? "–" : `${figure(point.measured)} ${unit}`}
              {beyond(point) ? ` ${said.beyondLimit}` : outside(point) ? ` ${said.outsideBand}` : ""}
            </td>
            <td>{between(point.usual?.low, point.usual?.high)}</td>
            <td>{between(point.ahead?.low, point.ahead?.high)}</td>
            <td>{between(point.lower, point.upper)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
