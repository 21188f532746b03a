import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useState } from "react";
import { type TrailFilter, trailCsv, useTrail, useVerify } from "../../api/admin";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { dayAndTime } from "../../ui/format";
import { waiting } from "../../ui/States";
import { words } from "./words";

/** What was judged, decided and changed, by whom: filtered, taken away as a table, and checked as a whole. */
export function Trail() {
  const [filter, setFilter] = useState<TrailFilter>({});
  const [typed, setTyped] = useState("");
  const trail = useTrail(filter);
  const verify = useVerify();
  const pages = trail.data?.pages ?? [];
  const items = pages.flatMap((page) => page.items);
  const choose = (next: TrailFilter) => setFilter(Object.fromEntries(Object.entries(next).filter(([, value]) => value)));
  return (
    <section className="panel" aria-label={words.tabs.trail}>
      <form className="inline" onSubmit={(event) => (event.preventDefault(), choose({ ...filter, words: typed.trim() }))}>
        <NativeSelect label={words.trail.kind} value={filter.kind ?? ""} data={[{ value: "", label: words.trail.all }, ...(pages[0]?.kinds ?? [])]}
          onChange={(event) => choose({ ...filter, kind: event.currentTarget.value })} />
        <TextInput label={words.trail.words} value={typed} onChange={(event) => setTyped(event.currentTarget.value)} onBlur={() => choose({ ...filter, words: typed.trim() })} />
        <a href={trailCsv(filter)} download>
          {words.trail.csv}
        </a>
        <Button variant="default" loading={verify.isPending} onClick={() => verify.mutate()}>
          {words.trail.verify}
        </Button>
      </form>
      {verify.data?.whole && (
        <p role="status">
          {words.trail.whole({ count: verify.data.entries ?? 0 })} <code className="quiet">{verify.data.seal}</code>
        </p>
      )}
      {(verify.data?.whole === false || verify.error) && (
        <p role="alert" className="problem">
          {words.trail.spoilt} <span lang="en">{verify.data?.problem ?? verify.error?.message}</span>
        </p>
      )}
      {waiting(trail)}
      {trail.data && items.length === 0 && <p className="quiet">{words.trail.none}</p>}
      {items.length > 0 && (
        <table className="table trail">
          <ColumnHeads names={[words.trail.number, words.trail.at, words.trail.kind, words.trail.by, words.trail.about, words.trail.said]} />
          <tbody>
            {items.map((entry) => (
              <tr key={entry.n}>
                <td>{entry.n}</td>
                <td>{dayAndTime(entry.at)}</td>
                <td>{entry.kind}</td>
                <td>{entry.by}</td>
                <td>
                  <code>{entry.subject}</code>
                </td>
                <td>
                  <code>{entry.body}</code>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {trail.hasNextPage && (
        <Button variant="subtle" color="gray" loading={trail.isFetchingNextPage} onClick={() => void trail.fetchNextPage()}>
          {words.trail.older}
        </Button>
      )}
    </section>
  );
}
