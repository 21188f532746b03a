import { Button } from "@mantine/core";
import { useState } from "react";
import { useNewPassword, useSession } from "../../api/session";
import { text } from "../../text";
import { words } from "../../text/floor";
import { Password } from "../../ui/Password";

const LEAST = 8;

/** One's own account: a new password, said twice. Every log-in of the account ends with it. */
export function AccountPage() {
  const who = useSession().data;
  const change = useNewPassword();
  const [old, setOld] = useState("");
  const [fresh, setFresh] = useState("");
  const [again, setAgain] = useState("");
  const said = words.account;
  const ready = old !== "" && fresh.length >= LEAST && fresh === again;
  return (
    <div className="page account">
      <h1>{said.title({ name: who?.name ?? "" })}</h1>
      <form className="panel settings-form" aria-label={said.change} onSubmit={(event) => (event.preventDefault(), ready && change.mutate({ old, new: fresh }))}>
        <h2>{said.change}</h2>
        <p className="quiet">{said.help({ n: LEAST })}</p>
        <input type="text" autoComplete="username" value={who?.name ?? ""} readOnly hidden />
        <Password w={320} label={said.old} autoComplete="current-password" value={old} onChange={(event) => setOld(event.currentTarget.value)} />
        <Password w={320} label={said.fresh} autoComplete="new-password" value={fresh} onChange={(event) => setFresh(event.currentTarget.value)} />
        <Password w={320} label={said.again} autoComplete="new-password" value={again} onChange={(event) => setAgain(event.currentTarget.value)}
          error={again !== "" && again !== fresh ? said.differ : undefined} />
        <Button type="submit" color="dark" disabled={!ready} loading={change.isPending}>
          {said.change}
        </Button>
        {change.error && (
          <p role="alert" className="problem">
            <strong>{text.inspect.notStored}</strong> {change.error.message}
          </p>
        )}
      </form>
    </div>
  );
}
