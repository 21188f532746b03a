import { NativeSelect } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import { type DataDifference, type DataSet, useDataDifference, useDataSets } from "../../api/datasets";
import { text } from "../../text";
import { words } from "../../text/desk";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { dayAndTime, shortId } from "../../ui/format";
import { Empty, waiting } from "../../ui/States";

/** Versions of the data set, each with the model that learnt from it, and what changed from one to another. */
export function DataSets() {
  const found = useDataSets();
  const state = waiting(found);
  if (state || !found.data) return state;
  const said = words.data;
  if (found.data.length === 0) return <Empty title={said.none}>{said.noneHelp}</Empty>;
  return (
    <>
      <p className="quiet">{said.help}</p>
      <table className="table">
        <ColumnHeads names={[said.frozen, said.version, said.images, said.parts, said.drawn, said.model]} />
        <tbody>
          {found.data.map((one) => (
            <Row key={one.job} one={one} />
          ))}
        </tbody>
      </table>
      {found.data.length > 1 && <Compare all={found.data} />}
    </>
  );
}

function Row({ one }: { one: DataSet }) {
  const said = words.data;
  return (
    <tr>
      <th scope="row">{dayAndTime(one.frozen_at)}</th>
      <td>
        <code>{shortId(one.id)}</code>
        {!one.kept && <div className="quiet">{said.gone}</div>}
        {one.erased > 0 && <div className="quiet">{said.erased({ count: one.erased })}</div>}
      </td>
      <td>{said.labelled({ n: one.labelled, all: one.images })}</td>
      <td>{said.sides({ train: one.parts["train"] ?? 0, val: one.parts["val"] ?? 0, test: one.parts["test"] ?? 0 })}</td>
      <td>{one.drawings === 0 ? "–" : `${said.drawings({ count: one.drawings })}, ${said.people({ count: one.people })}`}</td>
      <td>
        {one.model ? <Link href={`/models/${encodeURIComponent(one.model)}`}>{shortId(one.model)}</Link> : "–"}
        {one.alias && " "}
        {one.alias && <span className="badge">{text.train.standing[one.alias as keyof typeof text.train.standing] ?? one.alias}</span>}
      </td>
    </tr>
  );
}

function Compare({ all }: { all: readonly DataSet[] }) {
  const [after, setAfter] = useState(all[0]?.job ?? "");
  const [before, setBefore] = useState(all[1]?.job ?? "");
  const choices = all.map((one) => ({ value: one.job, label: `${dayAndTime(one.frozen_at)} · ${shortId(one.id)}` }));
  const said = words.data;
  const found = useDataDifference(before, after);
  return (
    <section className="panel" aria-label={said.difference}>
      <h2>{said.difference}</h2>
      <div className="inline">
        <NativeSelect label={said.from} value={before} data={choices} onChange={(event) => setBefore(event.currentTarget.value)} />
        <NativeSelect label={said.to} value={after} data={choices} onChange={(event) => setAfter(event.currentTarget.value)} />
      </div>
      {waiting(found)}
      {found.data && <Told of={found.data} />}
    </section>
  );
}

function Told({ of: told }: { of: DataDifference }) {
  const said = words.data;
  if (told.same) return <p>{said.same}</p>;
  const lists = (["added", "removed", "pictures", "labelled", "unlabelled"] as const).filter((name) => told[name].count > 0);
  const moved = Object.entries(told.moved);
  const classes = [...told.classes_added.map((name) => `+ ${name}`), ...told.classes_removed.map((name) => `− ${name}`)];
  return (
    <>
      <ul className="readings">
        {lists.map((name) => (
          <li key={name}>
            <details>
              <summary>
                <strong>{told[name].count}</strong> {said.changed[name]}
              </summary>
              <p className="quiet">{[...told[name].names, ...(told[name].count > told[name].names.length ? ["…"] : [])].join(", ")}</p>
            </details>
          </li>
        ))}
        {moved.length > 0 && (
          <li>
            <strong>{said.moved({ count: moved.length })}</strong> {moved.map(([part, sides]) => `${part}: ${sides.join(" → ")}`).join(", ")}
          </li>
        )}
        {classes.length > 0 && (
          <li>
            {said.classes}: {classes.join(", ")}
          </li>
        )}
        {told.book.length > 0 && (
          <li>
            {said.book}: {told.book.join(", ")}
          </li>
        )}
      </ul>
      {told.relabelled > 0 && (
        <>
          <h3>{said.relabelled({ count: told.relabelled })}</h3>
          {!told.looked && <p className="quiet">{said.notLooked}</p>}
          <table className="facts">
            <ColumnHeads names={[said.image, said.before, said.after, said.px]} />
            <tbody>
              {told.masks.map((mask) => (
                <tr key={mask.image}>
                  <th scope="row">
                    <Image name={mask.image} />
                  </th>
                  <td>{told.looked ? defects(mask.before) : "–"}</td>
                  <td>{told.looked ? defects(mask.after) : "–"}</td>
                  <td>{told.looked ? said.pixels({ count: mask.changed_px }) : "–"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </>
  );
}

const OURS = /^([0-9a-f-]{36})_\d+$/;

/** An image of a data set, by its file's name; one that was inspected here, with the way to its part. */
function Image({ name }: { name: string }) {
  const [, inspection] = OURS.exec(name) ?? [];
  return inspection ? <Link href={`/inspect/${inspection}`}>{name}</Link> : name;
}

const defects = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts).map(([name, count]) => `${count} ${name}`).join(", ") || words.data.noDefect;
