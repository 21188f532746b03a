import { NativeSelect } from "@mantine/core";
import { useState } from "react";
import { useStations } from "../../api/inspections";
import { csvAddress, useMoney } from "../../api/money";
import { text } from "../../text";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { monthName } from "../../ui/format";
import { Empty, waiting } from "../../ui/States";
import { TakeAway } from "../../ui/TakeAway";
import { Modes } from "./Modes";
import { months, rows } from "./rows";

/** How many months can be chosen. */
const SHOWN = 24;

/** What the inspection of a product brought in a month, with every formula; and what each station may do. */
export function MoneyPage() {
  const stations = useStations();
  const [chosen, choose] = useState("");
  const [month, setMonth] = useState(months(new Date(), 1)[0] ?? "");
  const product = chosen || stations.data?.[0]?.product || "";
  const found = useMoney(product, month);
  const words = text.money;
  const state = waiting(stations) ?? (product ? waiting(found) : <Empty title={words.none} />);
  return (
    <div className="page money">
      <header className="money-choice">
        <h1>{words.title}</h1>
        <NativeSelect label={words.product} value={product} data={found.data?.products ?? [product]} onChange={(event) => choose(event.currentTarget.value)} />
        <NativeSelect label={words.month} value={month} data={months(new Date(), SHOWN).map((value) => ({ value, label: monthName(value) }))} onChange={(event) => setMonth(event.currentTarget.value)} />
        {product && <TakeAway csv={csvAddress(product, month)} />}
      </header>
      {state}
      {found.data && (
        <>
          {found.data.money === null && <p className="quiet">{words.noCosts}</p>}
          <table className="figures">
            <ColumnHeads names={[words.figure, words.value, words.between, words.formula]} />
            <tbody>
              {rows(found.data, words.names).map((row) => (
                <tr key={row.name}>
                  <th scope="row">{row.name}</th>
                  <td>{row.value}</td>
                  <td>{row.between}</td>
                  <td className="quiet" lang="en">{row.formula}</td>
                </tr>
              ))}
            </tbody>
          </table>
          <p className="quiet">{words.interval({ formula: found.data.formulas.interval ?? "" })}</p>
        </>
      )}
      <Modes stations={(stations.data ?? []).map((station) => station.name)} />
    </div>
  );
}
