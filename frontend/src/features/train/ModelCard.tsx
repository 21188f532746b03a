import { useState } from "react";
import { useModelCard } from "../../api/learning";
import type { Card, Model } from "../../api/words";
import { text } from "../../text";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { dayAndTime, exact, figure } from "../../ui/format";
import { waiting } from "../../ui/States";
import { detectionOf, missesOf } from "./detection";
import { DetectionCurve, Misses } from "./DetectionCurve";
import { whereOf } from "./where";
import { Served } from "../../ui/Served";

/** What a model's card says, opened on wish: how small a defect it finds, what it missed, and what it is made of. */
export function ModelCard({ model, opened }: { model: Model; opened: boolean }) {
  const [open, setOpen] = useState(opened);
  const words = text.train;
  const detection = detectionOf(model.figures);
  const misses = missesOf(model.figures);
  return (
    <details className="card-of-model" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{words.card}</summary>
      {open && (
        <>
          <h3>{words.pod}</h3>
          {detection ? <DetectionCurve told={detection} /> : <p className="quiet">{words.noPod}</p>}
          <h3>{words.misses}</h3>
          {misses ? <Misses misses={misses} /> : <p className="quiet">{words.noPod}</p>}
          <Made id={model.id} />
        </>
      )}
    </details>
  );
}

function Made({ id }: { id: string }) {
  const card = useModelCard(id);
  const words = text.train;
  if (!card.data) return waiting(card);
  const { data, limits, training } = card.data;
  return (
    <>
      <Facts title={words.isMadeOf} of={whatItIs(card.data)} />
      <Facts title={words.notShown} of={limits} />
      <Facts title={words.skips} of={card.data.first_look} />
      <Facts title={words.learntFrom} of={data} />
      <Facts title={words.trainedHow} of={training} />
      <Facts title={words.computedBy} of={card.data.versions} />
      <Runtimes of={card.data.runtimes} />
      <History of={card.data.history} />
    </>
  );
}

/** What became of it: who let it serve where, and why. */
function History({ of }: { of: Card["history"] }) {
  const words = text.train;
  if (of.length === 0) return null;
  return (
    <>
      <h3>{words.history}</h3>
      <table className="figures">
        <ColumnHeads names={[words.historyWhen, words.historyWhat, words.historyWhere, words.historyBy, words.historyWhy]} />
        <tbody>
          {of.map((one) => (
            <tr key={`${one.at}${one.what}${one.product}/${one.station}`}>
              <th scope="row">{dayAndTime(one.at)}</th>
              <td>{words.chapter[one.what]}</td>
              <td>{whereOf(one) || words.historyEverywhere}</td>
              <td>{one.by}</td>
              <td>
                <Served text={one.reason} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

/** What this machine could compute it with, and why one of them does. */
function Runtimes({ of }: { of: Card["runtimes"] }) {
  const words = text.train;
  if (of.length === 0) return null;
  return (
    <>
      <h3>{words.computedHere}</h3>
      <table className="figures">
        <ColumnHeads names={[words.runtimeName, words.secondsPerMpx, words.runtimeFrames, words.runtimeDiffer, words.runtimeSays]} />
        <tbody>
          {of.map((one) => (
            <tr key={one.runtime}>
              <th scope="row">{one.runtime}</th>
              <td>{one.seconds_per_mpx === null ? "–" : figure(one.seconds_per_mpx)}</td>
              <td>{one.frames === 0 ? "–" : exact(one.frames)}</td>
              <td>{one.frames === 0 ? "–" : exact(one.verdicts_that_differ)}</td>
              <td>{one.serves ? <strong>{words.runtimeServes}</strong> : one.accepted ? words.runtimeAccepted : one.why}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

const whatItIs = ({ name, threshold, reach_px, input, network }: Card) => ({ name, ...network, threshold, reach_px, input });

function Facts({ title, of }: { title: string; of: Readonly<Record<string, unknown>> }) {
  const rows = Object.entries(of).filter(([, value]) => value !== null && value !== "" && !(Array.isArray(value) && value.length === 0));
  if (rows.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <dl className="card-facts">
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name.replace(/_px$/, ", px").replaceAll("_", " ")}</dt>
            <dd>{plain(value)}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

/** A value of a card as people read it. */
function plain(value: unknown): string {
  if (typeof value === "number") return Number.isInteger(value) ? exact(value) : figure(value);
  if (typeof value === "boolean") return value ? text.train.yes : text.train.no;
  if (Array.isArray(value)) return value.map(plain).join(", ");
  if (typeof value === "object" && value !== null) return Object.entries(value).map(([name, one]) => `${name} ${plain(one)}`).join(", ");
  return String(value);
}
