import { Button } from "@mantine/core";
import { useState } from "react";
import type { BeforeAndAfter, Capability } from "../../api/words";
import { text } from "../../text";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { figure, money, percent } from "../../ui/format";

/** Readings shown at first: those that hold the process back, and those that decide. */
const WORST = 8;

/** Before the advice, with it, and beside it in the same time: yields, money, and every reading's indices. */
export function CapabilityPanel({ told, conformance }: { told: BeforeAndAfter; conformance: readonly string[] }) {
  const [all, setAll] = useState(false);
  const words = text.process;
  const parts: [string, Capability | null | undefined][] = [[words.before, told.before], [words.after, told.after], [words.others, told.others]];
  const columns = parts.flatMap(([name, of]) => (of ? [{ name, of }] : []));
  const cpk = (reading: string) => columns[0]?.of.readings[reading]?.cpk ?? Infinity;
  const readings = [...new Set(columns.flatMap((column) => Object.keys(column.of.readings)))].sort((a, b) => cpk(a) - cpk(b));
  const shown = all ? readings : readings.filter((reading, place) => place < WORST || conformance.includes(reading));
  const share = (value: number | null) => (value === null ? "–" : percent(value));
  return (
    <>
      {told.before === null && <p className="quiet">{words.noBefore}</p>}
      {told.after === null && <p className="quiet">{words.noAfter}</p>}
      {columns.length > 0 && (
        <table className="table capability">
          <ColumnHeads names={[text.train.figure, ...columns.map(({ name }) => name)]} />
          <tbody>
            <Line name={words.parts} values={columns.map(({ of }) => String(of.parts))} />
            <Line name={words.rolled} values={columns.map(({ of }) => share(of.rolled_yield))} />
            <Line name={words.first} values={columns.map(({ of }) => share(of.first_yield))} />
            <Line name={words.poor} values={columns.map(({ of }) => (of.poor_quality === null ? "–" : money(of.poor_quality, told.currency)))} />
          </tbody>
        </table>
      )}
      {readings.length > 0 && (
        <>
          <p className="quiet">{words.capabilityHelp}</p>
          <table className="table capability">
            <ColumnHeads names={[words.reading, ...columns.map(({ name }) => words.indices({ name }))]} />
            <tbody>
              {shown.map((reading) => (
                <tr key={reading}>
                  <th scope="row">
                    {reading} {conformance.includes(reading) && <span className="badge">{words.deciding}</span>}
                  </th>
                  {columns.map(({ name, of }) => (
                    <Indices key={name} of={of.readings[reading]} />
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
          {readings.length > shown.length && (
            <Button variant="default" size="xs" onClick={() => setAll(true)}>
              {words.moreReadings({ count: readings.length - shown.length })}
            </Button>
          )}
        </>
      )}
    </>
  );
}

function Line({ name, values }: { name: string; values: readonly string[] }) {
  return (
    <tr>
      <th scope="row">{name}</th>
      {values.map((value, place) => (
        <td key={place}>{value}</td>
      ))}
    </tr>
  );
}

function Indices({ of }: { of: Capability["readings"][string] | undefined }) {
  const index = (value: number | null | undefined) => (value == null ? "–" : figure(Number(value.toFixed(2))));
  return (
    <td>
      <strong className={of?.cpk != null && of.cpk < 1 ? "beyond" : undefined}>{index(of?.cpk)}</strong> · {index(of?.ppk)} ·{" "}
      {of?.within == null ? "–" : percent(of.within)}
    </td>
  );
}
