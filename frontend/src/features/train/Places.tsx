import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useState } from "react";
import { useProductNames } from "../../api/admin";
import { useStations } from "../../api/inspections";
import { useModelAction } from "../../api/learning";
import { useAssign, useAssignments } from "../../api/serving";
import type { Model } from "../../api/words";
import { words } from "../../text/desk";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { dayAndTime, shortId } from "../../ui/format";
import { waiting } from "../../ui/States";
import { whereOf } from "./where";

/** Products and stations with a model of their own, and how to give one to them. */
export function Places({ models }: { models: readonly Model[] }) {
  const found = useAssignments();
  const change = useAssign();
  const retrain = useModelAction();
  const said = words.places;
  const problem = change.error ?? retrain.error;
  return (
    <section className="panel" aria-label={said.title}>
      <h2>{said.title}</h2>
      <p className="quiet">{said.help}</p>
      {waiting(found)}
      {found.data?.length === 0 && <p className="quiet">{said.none}</p>}
      {found.data && found.data.length > 0 && (
        <table className="facts">
          <ColumnHeads names={[said.where, said.model, said.since, said.by, said.before, said.looksOn, ""]} />
          <tbody>
            {found.data.map((one) => (
              <tr key={`${one.product}/${one.station}`}>
                <th scope="row">{whereOf(one)}</th>
                <td>{shortId(one.champion)}</td>
                <td>{dayAndTime(one.since)}</td>
                <td>{one.by}</td>
                <td>{one.before ? shortId(one.before) : said.everywhere}</td>
                <td>{one.challenger ? shortId(one.challenger) : said.nobody}</td>
                <td>
                  <Button size="compact-sm" variant="default" aria-label={said.retrain({ where: whereOf(one) })} disabled={retrain.isPending}
                    onClick={() => retrain.mutate({ kind: "retrain", place: { product: one.product, station: one.station } })}>
                    {said.retrainShort}
                  </Button>{" "}
                  <Button size="compact-sm" variant="default" aria-label={said.back({ where: whereOf(one) })} disabled={change.isPending}
                    onClick={() => change.mutate({ model: null, product: one.product, station: one.station, reason: "" })}>
                    {said.backShort}
                  </Button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <Assign models={models} change={change} />
      {problem && (
        <p role="alert" className="problem">
          {problem.message}
        </p>
      )}
    </section>
  );
}

function Assign({ models, change }: { models: readonly Model[]; change: ReturnType<typeof useAssign> }) {
  const products = useProductNames();
  const stations = useStations();
  const [model, setModel] = useState("");
  const [product, setProduct] = useState("");
  const [station, setStation] = useState("");
  const [reason, setReason] = useState("");
  const said = words.places;
  const chosen = model || (models[0]?.id ?? "");
  const all = { value: "", label: said.all };
  const nowhere = chosen === "" || (product === "" && station === "");
  const send = (looksOn: boolean) => change.mutate({ model: chosen, looksOn, product, station, reason: reason.trim() }, { onSuccess: () => setReason("") });
  return (
    <form className="inline" onSubmit={(event) => (event.preventDefault(), send(false))}>
      <NativeSelect label={said.model} value={chosen} data={models.map(({ id }) => ({ value: id, label: shortId(id) }))} onChange={(event) => setModel(event.currentTarget.value)} />
      <NativeSelect label={said.product} value={product} data={[all, ...(products.data?.items ?? [])]} onChange={(event) => setProduct(event.currentTarget.value)} />
      <NativeSelect label={said.station} value={station} data={[all, ...(stations.data ?? []).map(({ name }) => name)]} onChange={(event) => setStation(event.currentTarget.value)} />
      <TextInput label={said.reason} value={reason} maxLength={500} onChange={(event) => setReason(event.currentTarget.value)} />
      <Button type="submit" variant="default" disabled={nowhere} loading={change.isPending}>
        {said.assign}
      </Button>
      <Button variant="default" disabled={nowhere || change.isPending} onClick={() => send(true)}>
        {said.challenge}
      </Button>
    </form>
  );
}
