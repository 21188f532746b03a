import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useState } from "react";
import { type ErasureKind, useErase, useErasures } from "../../api/sending";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { dayAndTime, shortId } from "../../ui/format";
import { waiting } from "../../ui/States";
import { Remove } from "./Remove";
import { words } from "./words";

const KINDS: readonly ErasureKind[] = ["part", "batch", "customer", "person"];

/** Erasing a part, a batch, a customer or a person's name for good; and what was erased. */
export function Erasures() {
  const [kind, setKind] = useState<ErasureKind>("part");
  const [name, setName] = useState("");
  const [reason, setReason] = useState("");
  const erase = useErase();
  const said = words.erasures;
  const ready = name.trim() !== "" && reason.trim() !== "";
  const done = () => (setName(""), setReason(""));
  return (
    <>
      <section className="panel" aria-label={said.title}>
        <h2>{said.title}</h2>
        <p className="quiet">{said.help}</p>
        <form className="inline" onSubmit={(event) => event.preventDefault()}>
          <NativeSelect label={said.what} value={kind} data={KINDS.map((value) => ({ value, label: said.kinds[value] }))} onChange={(event) => setKind(event.currentTarget.value as ErasureKind)} />
          <TextInput label={said.name} value={name} maxLength={128} autoComplete="off" onChange={(event) => setName(event.currentTarget.value)} />
          <TextInput label={said.reason} value={reason} maxLength={500} w={360} onChange={(event) => setReason(event.currentTarget.value)} />
          {ready || <Button size="xs" variant="default" disabled>{said.erase}</Button>}
          {ready && <Remove key={`${kind} ${name}`} name={name.trim()} label={said.erase} busy={erase.isPending} remove={() => erase.mutate({ kind, name: name.trim(), reason: reason.trim() }, { onSuccess: done })} />}
        </form>
        {erase.isSuccess && <p role="status">{erase.data ? said.person({ word: erase.data.pseudonym, count: erase.data.rows }) : said.asked}</p>}
        {erase.error && (
          <p role="alert" className="problem">
            {erase.error.message}
          </p>
        )}
      </section>
      <Erased />
    </>
  );
}

function Erased() {
  const found = useErasures();
  const said = words.erasures;
  return (
    <section className="panel" aria-label={said.list}>
      <h2>{said.list}</h2>
      {waiting(found)}
      {found.data?.length === 0 && <p className="quiet">{said.none}</p>}
      {found.data && found.data.length > 0 && (
        <table className="table">
          <ColumnHeads names={[said.at, said.by, said.why, said.inspections, said.images, said.models]} />
          <tbody>
            {found.data.map((one) => (
              <tr key={one.id}>
                <th scope="row">{dayAndTime(one.at)}</th>
                <td>{one.by}</td>
                <td>{one.reason}</td>
                <td>{one.inspections}</td>
                <td>{one.images}</td>
                <td>{one.models_that_saw_it.map(shortId).join(", ") || "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
