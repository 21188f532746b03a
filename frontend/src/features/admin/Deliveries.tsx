import { Button, TextInput } from "@mantine/core";
import { useState } from "react";
import { type Address, useAddressAction, useAddresses } from "../../api/sending";
import { useSession } from "../../api/session";
import { dayAndTime } from "../../ui/format";
import { Served } from "../../ui/Served";
import { waiting } from "../../ui/States";
import { Remove } from "./Remove";
import { Said } from "./Said";
import { words } from "./words";

/** Who is told by webhooks and brokers, what still waits for each, and a person's word where it does not go on. */
export function Deliveries() {
  const found = useAddresses();
  const said = words.deliveries;
  return (
    <section aria-label={said.title}>
      <h2>{said.title}</h2>
      {waiting(found)}
      {found.data?.length === 0 && <p className="quiet">{said.none}</p>}
      {found.data?.map((address) => <One key={address.name} address={address} />)}
    </section>
  );
}

function One({ address }: { address: Address }) {
  const may = useSession().data?.role === "admin";
  const change = useAddressAction(address.name);
  const said = words.deliveries;
  const { kind, state } = address;
  const facts = [
    said.waits({ count: address.waiting }) + (address.oldest_at ? ` (${said.oldest({ when: dayAndTime(address.oldest_at) })})` : ""),
    said.delivered({ count: address.delivered }),
    ...(address.dropped > 0 ? [said.dropped({ count: address.dropped })] : []),
    ...(address.last_delivered_at ? [said.last({ when: dayAndTime(address.last_delivered_at) })] : []),
  ];
  return (
    <article className="model" aria-label={address.name} data-state={state}>
      <header>
        <strong>{kind === "unknown" ? address.name : `${words.connections.kind[kind]} ${address.name}`}</strong>
        <code className="quiet">{address.to}</code>
        <span className="badge">{said.state[state]}</span>
      </header>
      <p className="quiet">{facts.join(" · ")}</p>
      {state !== "ok" && address.last_error && (
        <p className="problem">
          {said.error} <Served text={address.last_error} />
        </p>
      )}
      {may && state !== "ok" && (
        <div className="inline">
          {state === "unknown" ? (
            <Remove name={address.name} label={said.forget} remove={() => change.mutate({ kind: "forget" })} busy={change.isPending} />
          ) : (
            <Button size="xs" variant="default" loading={change.isPending} onClick={() => change.mutate({ kind: "resume" })}>
              {state === "off" ? said.on : said.resume}
            </Button>
          )}
          {address.first_waiting && state !== "unknown" && <GiveUp skip={(reason) => change.mutate({ kind: "skip", message: address.first_waiting ?? "", reason })} />}
        </div>
      )}
      {change.error && <Said of={change} />}
    </article>
  );
}

function GiveUp({ skip }: { skip: (reason: string) => void }) {
  const [reason, setReason] = useState("");
  return (
    <form className="inline" onSubmit={(event) => (event.preventDefault(), skip(reason.trim()), setReason(""))}>
      <TextInput size="xs" w={320} label={words.deliveries.reason} value={reason} maxLength={500} onChange={(event) => setReason(event.currentTarget.value)} />
      <Button size="xs" type="submit" variant="default" disabled={!reason.trim()}>
        {words.deliveries.skip}
      </Button>
    </form>
  );
}
