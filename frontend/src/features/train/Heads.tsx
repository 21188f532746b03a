import { Button, Checkbox, TextInput } from "@mantine/core";
import { useState } from "react";
import { type Head, useClassSearch, useHeadAction, useHeads } from "../../api/serving";
import { words } from "../../text/desk";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { dayAndTime, percent } from "../../ui/format";
import { waiting } from "../../ui/States";

/** A figure of a head on examples that were left out; a dash where it does not say. */
const share = ({ figures }: Head, name: "recall" | "false_alarms"): string => (typeof figures[name] === "number" ? percent(figures[name]) : "–");

/** Classes learnt from a few examples: how well each does, and how to learn another. */
export function Heads() {
  const found = useHeads();
  const change = useHeadAction();
  const search = useClassSearch();
  const [name, setName] = useState("");
  const [toReview, setToReview] = useState(false);
  const said = words.heads;
  const learn = () => change.mutate({ kind: "learn", name: name.trim(), toReview }, { onSuccess: () => setName("") });
  return (
    <section className="panel" aria-label={said.title}>
      <h2>{said.title}</h2>
      <p className="quiet">{said.help}</p>
      {waiting(found)}
      {found.data?.length === 0 && <p className="quiet">{said.none}</p>}
      {found.data && found.data.length > 0 && (
        <table className="facts">
          <ColumnHeads names={[said.class, said.examples, said.found, said.alarms, said.may, said.since, ""]} />
          <tbody>
            {found.data.map((head) => (
              <tr key={head.id}>
                <th scope="row">{head.name}</th>
                <td>{head.examples}</td>
                <td>{share(head, "recall")}</td>
                <td>{share(head, "false_alarms")}</td>
                <td>{head.to_review ? said.yes : said.no}</td>
                <td>{dayAndTime(head.created_at)}</td>
                <td>
                  {head.retired_at ? (
                    <span className="quiet">{said.ended({ when: dayAndTime(head.retired_at) })}</span>
                  ) : (
                    <Button size="compact-sm" variant="default" aria-label={said.endOf({ name: head.name })} disabled={change.isPending} onClick={() => change.mutate({ kind: "retire", id: head.id })}>
                      {said.end}
                    </Button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <form className="inline" onSubmit={(event) => (event.preventDefault(), learn())}>
        <TextInput label={said.class} value={name} maxLength={64} onChange={(event) => setName(event.currentTarget.value)} />
        <Checkbox label={said.toReview} checked={toReview} onChange={(event) => setToReview(event.currentTarget.checked)} />
        <Button type="submit" variant="default" disabled={!name.trim()} loading={change.isPending}>
          {said.learn}
        </Button>
        <Button variant="default" disabled={!name.trim()} loading={search.isPending} onClick={() => search.mutate(name.trim())}>
          {said.search}
        </Button>
      </form>
      <p className="quiet">{said.searchHelp}</p>
      {search.data && <p role="status">{said.searched({ name: search.data })}</p>}
      {change.data && change.data.retired_at === null && <p role="status">{said.learnt({ name: change.data.name, count: change.data.examples })}</p>}
      {[change.error, search.error].map((error, n) => error && (
        <p key={n} role="alert" className="problem">
          {error.message}
        </p>
      ))}
    </section>
  );
}
