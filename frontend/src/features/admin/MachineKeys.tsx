import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useState } from "react";
import { type MachineKey, useAddKey, useMachineKeys, useRevokeKey } from "../../api/admin";
import { text } from "../../text";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { dayAndTime } from "../../ui/format";
import { waiting } from "../../ui/States";
import { Remove } from "./Remove";
import { words } from "./words";

type Role = "machine" | "operator" | "leader" | "labeller" | "engineer" | "admin";

/** Keys by which machines prove who they are. A key itself is seen once, when it is made. */
export function MachineKeys({ roles }: { roles: { value: Role; label: string }[] }) {
  const keys = useMachineKeys();
  const revoke = useRevokeKey();
  const add = useAddKey();
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("machine");
  const [days, setDays] = useState("");
  const rest = days.trim() === "" ? null : Number(days);
  return (
    <section className="panel" aria-label={words.people.keys}>
      <h2>{words.people.keys}</h2>
      {waiting(keys)}
      {keys.data && keys.data.items.length > 0 && (
        <table className="table">
          <ColumnHeads names={[words.people.keyFor, words.people.role, words.people.since, words.people.ends, ""]} />
          <tbody>
            {keys.data.items.map((key) => (
              <tr key={key.id}>
                <th scope="row">{key.name}</th>
                <td>{key.role === "machine" ? words.people.machine : text.everywhere.role[key.role as Exclude<Role, "machine">]}</td>
                <td className="quiet">{dayAndTime(key.created_at)}</td>
                <td className="quiet">{end(key)}</td>
                <td>{!over(key) && <Remove name={key.name} label={words.people.revoke} remove={() => revoke.mutate(key.id)} busy={revoke.isPending} />}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <form className="inline" onSubmit={(event) => (event.preventDefault(), add.mutate({ name: name.trim(), role, days: rest }, { onSuccess: () => setName("") }))}>
        <TextInput label={words.people.keyFor} value={name} maxLength={64} required onChange={(event) => setName(event.currentTarget.value)} />
        <NativeSelect label={words.people.role} value={role} data={roles} onChange={(event) => setRole(event.currentTarget.value as Role)} />
        <TextInput label={words.people.days} inputMode="numeric" value={days} onChange={(event) => setDays(event.currentTarget.value)} />
        <Button type="submit" color="dark" disabled={!name.trim() || (rest !== null && !(rest > 0))} loading={add.isPending}>
          {words.add}
        </Button>
      </form>
      {add.data && (
        <p role="status" className="key-once">
          {words.people.made} <code>{add.data.key}</code>
        </p>
      )}
      {(add.error ?? revoke.error) && (
        <p role="alert" className="problem">
          {(add.error ?? revoke.error)?.message}
        </p>
      )}
    </section>
  );
}

const over = (key: MachineKey): boolean => key.revoked_at !== null || (key.expires_at !== null && Date.parse(key.expires_at) <= Date.now());

const end = (key: MachineKey): string => (over(key) ? words.people.ended : key.expires_at === null ? words.people.never : dayAndTime(key.expires_at));
