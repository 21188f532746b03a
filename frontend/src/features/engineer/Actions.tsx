import type { Advice, Process, Recommendation } from "../../api/words";
import { percentScale } from "../../geometry/scale";
import { text } from "../../text";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { change, figure, range } from "../../ui/format";
import { beyondLimits, find } from "./readings";

/** What to do: settings from nominal to new within their range, optional steps, readings. */
export function Actions({ advice, process }: { advice: Advice; process: Process }) {
  const words = text.engineer;
  const settings = Object.entries(advice.settings);
  if (settings.length + advice.run.length + advice.measure.length === 0) return null;
  return (
    <section>
      <h3>{words.toDo}</h3>
      {advice.run.length > 0 && (
        <p>
          <strong>{words.run({ count: advice.run.length, steps: advice.run.join(", ") })}</strong>
        </p>
      )}
      {advice.measure.length > 0 && (
        <p>
          <strong>{words.measureFirst({ readings: advice.measure.join(", ") })}</strong>
        </p>
      )}
      {settings.length > 0 && (
        <table className="settings">
          <ColumnHeads names={[words.setting, words.nominal, words.new, words.withinRange]} />
          <tbody>
            {settings.map(([name, value]) => {
              const setting = find(process, name)?.setting;
              if (!setting) return null;
              const at = percentScale([setting.low, setting.high]);
              return (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  <td>{figure(setting.nominal)}</td>
                  <td>
                    <strong>
                      {figure(value)} {setting.unit}
                    </strong>{" "}
                    <span className="quiet">{change(value - setting.nominal)}</span>
                  </td>
                  <td>
                    <svg className="range" viewBox="0 0 100 10" preserveAspectRatio="none" role="img"
                      aria-label={`${range(figure(setting.low), figure(setting.high))} ${setting.unit ?? ""}`}>
                      <path d="M0 5H100" stroke="var(--bar)" strokeWidth="2" vectorEffect="non-scaling-stroke" />
                      <path d={`M${at(setting.nominal)} 1V9`} stroke="var(--quiet)" strokeWidth="2" vectorEffect="non-scaling-stroke" />
                      <path d={`M${at(setting.nominal)} 5H${at(value)}`} stroke="var(--mark)" strokeWidth="4" vectorEffect="non-scaling-stroke" />
                    </svg>
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
    </section>
  );
}

/** Readings of the part that left their limits: what the alarm rests on. */
export function Readings({ recommendation, process }: { recommendation: Recommendation; process: Process }) {
  const words = text.engineer;
  const beyond = beyondLimits(process, recommendation.request.observed ?? {});
  return (
    <section>
      <h3>{words.beyond}</h3>
      {beyond.length === 0 && <p className="quiet">{words.noneBeyond}</p>}
      {beyond.length > 0 && (
        <ul className="readings">
          {beyond.slice(0, 8).map((reading) => (
            <li key={reading.name}>
              <strong>{reading.name}</strong> {figure(reading.value)} {reading.unit}{" "}
              <span className="beyond">
                {reading.above ? "▲" : "▼"} {(reading.above ? words.over : words.under)({ by: change(reading.by), limit: figure(reading.limit) })}
              </span>
            </li>
          ))}
          {beyond.length > 8 && <li className="quiet">{words.moreBeyond({ count: beyond.length - 8 })}</li>}
        </ul>
      )}
    </section>
  );
}
