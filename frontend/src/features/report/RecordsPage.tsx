import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { useStations } from "../../api/inspections";
import { type Chosen, recordsCsv, useRecords } from "../../api/records";
import type { Inspection, Verdict } from "../../api/words";
import { text } from "../../text";
import { words } from "../../text/desk";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { dayAndTime } from "../../ui/format";
import { waiting } from "../../ui/States";
import { TakeAway } from "../../ui/TakeAway";
import { VerdictMark } from "../../ui/VerdictMark";

const VERDICTS = ["ok", "review", "ng"] as const;

/** The choice as the address has it, so that it can be sent to a colleague; a day is the reader's own. */
function chosenOf(search: string): { chosen: Chosen; day: string } {
  const asked = new URLSearchParams(search);
  const day = asked.get("since") ?? "";
  const verdict = VERDICTS.find((one) => one === asked.get("verdict"));
  const began = day ? new Date(`${day}T00:00:00`) : null;
  const chosen = {
    ...(asked.get("station") ? { station: asked.get("station") ?? "" } : {}),
    ...(verdict ? { verdict } : {}),
    ...(asked.get("part") ? { part: asked.get("part") ?? "" } : {}),
    ...(began && !Number.isNaN(began.getTime()) ? { since: began.toISOString() } : {}),
  };
  return { chosen, day };
}

/** Every inspection that is kept, found by part, station, verdict and day; to be taken away as a table or on paper. */
export function RecordsPage() {
  const [path, go] = useLocation();
  const search = useSearch();
  const { chosen, day } = chosenOf(search);
  const stations = useStations();
  const found = useRecords(chosen);
  const [typed, setTyped] = useState(chosen.part ?? "");
  const choose = (name: "station" | "verdict" | "part" | "since", value: string) => {
    const next = new URLSearchParams(search);
    if (value) next.set(name, value);
    else next.delete(name);
    go(next.size > 0 ? `${path}?${next}` : path, { replace: true });
  };
  const items = (found.data?.pages ?? []).flatMap((page) => page.items);
  const named = words.records;
  return (
    <div className="page records">
      <header className="page-head">
        <div>
          <h1>{named.title}</h1>
          <p className="quiet">{named.help}</p>
        </div>
        <TakeAway csv={recordsCsv(chosen)} />
      </header>
      <form className="inline" role="search" onSubmit={(event) => (event.preventDefault(), choose("part", typed.trim()))}>
        <TextInput label={named.find} type="search" maxLength={128} value={typed} onChange={(event) => setTyped(event.currentTarget.value)} onBlur={() => choose("part", typed.trim())} />
        <NativeSelect label={named.station} value={chosen.station ?? ""} data={[{ value: "", label: named.all }, ...(stations.data ?? []).map((station) => station.name)]}
          onChange={(event) => choose("station", event.currentTarget.value)} />
        <NativeSelect label={named.verdict} value={chosen.verdict ?? ""} data={[{ value: "", label: named.all }, ...VERDICTS.map((value: Verdict) => ({ value, label: text.verdict[value] }))]}
          onChange={(event) => choose("verdict", event.currentTarget.value)} />
        <TextInput label={named.since} type="date" value={day} onChange={(event) => choose("since", event.currentTarget.value)} />
      </form>
      {waiting(found)}
      {found.data && items.length === 0 && <p className="quiet">{named.none}</p>}
      {items.length > 0 && <Table items={items} />}
      {found.hasNextPage && (
        <Button className="no-print" variant="default" loading={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>
          {named.older}
        </Button>
      )}
    </div>
  );
}

function Table({ items }: { items: readonly Inspection[] }) {
  const named = words.records;
  return (
    <table className="table">
      <ColumnHeads names={[named.part, named.verdict, named.station, named.product, named.at, named.defects, named.said, named.report]} />
      <tbody>
        {items.map((one) => (
          <tr key={one.id}>
            <th scope="row">
              <Link href={`/inspect/${one.id}`}>{one.part}</Link>
            </th>
            <td>{one.verdict && <Word verdict={one.verdict} />}</td>
            <td>{one.station}</td>
            <td>{one.product}</td>
            <td>{dayAndTime(one.received_at)}</td>
            <td>{one.images.reduce((sum, image) => sum + image.defects.filter((defect) => defect.counts).length, 0)}</td>
            <td>
              {one.decision && (
                <>
                  <Word verdict={one.decision.verdict} /> <span className="quiet">{one.decision.by}</span>
                </>
              )}
            </td>
            <td>
              <Link href={`/records/part/${encodeURIComponent(one.part)}`} aria-label={named.reportOf({ part: one.part })}>
                {named.report}
              </Link>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const Word = ({ verdict }: { verdict: Verdict }) => (
  <span className="verdict-word">
    <VerdictMark verdict={verdict} size={14} /> {text.verdict[verdict]}
  </span>
);
