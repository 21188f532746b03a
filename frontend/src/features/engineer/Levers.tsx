import { Button } from "@mantine/core";
import { useState } from "react";
import type { Lever, Levers as Told, Process } from "../../api/words";
import { percentScale } from "../../geometry/scale";
import { text } from "../../text";
import { change, figure, money } from "../../ui/format";
import { byStrength, farthest, ticks } from "./levers";
import { find, unitOf } from "./readings";

/** Levers shown at first. */
const FIRST = 12;

/** What each known setting does to what is decided in the end, as a forest plot. */
export function LeverForest({ levers, process }: { levers: Told; process: Process }) {
  const [all, setAll] = useState(false);
  const known = byStrength(levers.items.filter((lever) => lever.identified));
  const words = text.process;
  if (known.length === 0) return <p>{levers.items.length === 0 ? words.noLevers : words.noneIdentified}</p>;
  const reach = farthest(known);
  return (
    <>
      <table className="forest">
        <thead>
          <tr>
            <th scope="col">{words.setting}</th>
            <th scope="col" aria-label={words.effect}>
              <Axis reach={reach} />
            </th>
            <th scope="col">{words.effect}</th>
            <th scope="col">{words.own}</th>
          </tr>
        </thead>
        <tbody>
          {(all ? known : known.slice(0, FIRST)).map((lever) => (
            <tr key={lever.setting}>
              <th scope="row">{lever.setting}</th>
              <td>
                <Interval lever={lever} reach={reach} />
              </td>
              <td>
                <Effect lever={lever} />
              </td>
              <td className="quiet">{own(lever, process)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {!all && known.length > FIRST && (
        <Button variant="default" size="xs" onClick={() => setAll(true)}>
          {words.moreLevers({ count: known.length - FIRST })}
        </Button>
      )}
    </>
  );
}

/** Settings of which nothing is believed, and the trial that would tell. */
export function UnknownLevers({ levers, process }: { levers: Told; process: Process }) {
  const unknown = levers.items.filter((lever) => !lever.identified);
  const words = text.process;
  if (unknown.length === 0) return <p>{words.allKnown}</p>;
  const reach = farthest(unknown);
  return (
    <>
      <p className="quiet">{words.unknownHelp}</p>
      <table className="forest">
        <thead>
          <tr>
            <th scope="col">{words.setting}</th>
            <th scope="col" aria-label={words.effect}>
              <Axis reach={reach} />
            </th>
            <th scope="col">{words.spread}</th>
            <th scope="col">{words.parts}</th>
            <th scope="col">{words.cost}</th>
          </tr>
        </thead>
        <tbody>
          {byStrength(unknown).map((lever) => (
            <tr key={lever.setting}>
              <th scope="row">{lever.setting}</th>
              <td>
                <Interval lever={lever} reach={reach} />
              </td>
              {lever.dither_sd === null ? (
                <td colSpan={3}>{words.noRoom}</td>
              ) : (
                <>
                  <td>
                    {figure(Number(lever.dither_sd.toPrecision(3)))} {find(process, lever.setting)?.setting?.unit}
                  </td>
                  <td>{words.partCount({ count: lever.dither_parts ?? 0 })}</td>
                  <td>{money(lever.dither_cost ?? 0, levers.currency)}</td>
                </>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

function Axis({ reach }: { reach: number }) {
  const at = percentScale([-reach, reach]);
  return (
    <span className="forest-axis" aria-hidden="true">
      {ticks(reach).map((tick) => (
        <span key={tick} style={{ left: `${at(tick)}%` }}>
          {change(tick)}
        </span>
      ))}
    </span>
  );
}

/** Estimate and 90 % interval; dashed where the fit is not believed. */
function Interval({ lever, reach }: { lever: Lever; reach: number }) {
  const at = percentScale([-reach, reach]);
  return (
    <svg className="forest-row" viewBox="0 0 100 16" preserveAspectRatio="none" data-known={lever.identified} aria-hidden="true">
      {ticks(reach).map((tick) => (
        <path key={tick} className={tick === 0 ? "zero" : "tick"} d={`M${at(tick)} 0V16`} />
      ))}
      {lever.reading && (
        <>
          <path className="interval" d={`M${at(lever.effect_low)} 8H${at(lever.effect_high)}`} />
          <path className="point" d={`M${at(lever.effect)} 8h0`} />
        </>
      )}
    </svg>
  );
}

function Effect({ lever }: { lever: Lever }) {
  const short = (value: number) => change(Number(value.toFixed(2)));
  if (!lever.reading) return <span className="quiet">{text.process.nothing}</span>;
  return (
    <>
      <strong>{short(lever.effect)}</strong> <span className="quiet">{text.process.onReading({ low: short(lever.effect_low), high: short(lever.effect_high), reading: lever.reading })}</span>
    </>
  );
}

function own(lever: Lever, process: Process): string {
  if (lever.acts_on == null || lever.to_high == null) return "";
  const [low = lever.to_high, high = lever.to_high] = lever.to_high_90 ?? [];
  const short = (value: number) => change(Number(value.toPrecision(2)));
  const unit = unitOf(process, lever.acts_on);
  return text.process.ownEffect({ by: `${short(lever.to_high)}${unit && ` ${unit}`}`, low: short(low), high: short(high), what: lever.acts_on }) + (lever.bent ? `; ${text.process.bent}` : "");
}
