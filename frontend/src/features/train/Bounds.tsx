import { Button, TextInput } from "@mantine/core";
import { useState } from "react";
import { useApproval } from "../../api/money";
import type { Where } from "../../api/shadow";
import type { Standing } from "../../api/words";
import { text } from "../../text";
import { Served } from "../../ui/Served";

/** What is asked of a challenger besides the wagers, and a named person's word where the product's file asks for one. */
export function Bounds({ standing }: { standing: Standing }) {
  const words = text.bounds;
  return (
    <>
      <ul className="bounds" aria-label={words.title}>
        {standing.bounds.map((bound) => (
          <li key={bound.name}>
            <strong>{bound.holds === null ? words.unknown : bound.holds ? words.holds : words.broken}</strong> {bound.name}: <Served text={bound.words} />
          </li>
        ))}
      </ul>
      {standing.approval === "waiting" && standing.proved && <Approval where={standing} />}
      {standing.approval_by && <p>{words.said[standing.approval === "declined" ? "declined" : "approved"]({ by: standing.approval_by })}</p>}
    </>
  );
}

function Approval({ where: { product, station } }: { where: Where }) {
  const [reason, setReason] = useState("");
  const approval = useApproval();
  const words = text.bounds;
  const say = (approved: boolean) => approval.mutate({ approved, reason, product, station });
  return (
    <form className="approval" onSubmit={(event) => event.preventDefault()}>
      <TextInput label={words.why} value={reason} maxLength={500} onChange={(event) => setReason(event.currentTarget.value)} />
      <Button disabled={!reason || approval.isPending} onClick={() => say(true)}>{words.approve}</Button>
      <Button variant="default" disabled={!reason || approval.isPending} onClick={() => say(false)}>{words.decline}</Button>
      {approval.isError && <p role="alert">{approval.error instanceof Error ? approval.error.message : String(approval.error)}</p>}
    </form>
  );
}
