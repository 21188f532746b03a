import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useState } from "react";
import { type Person, useAddPerson, useChangePerson, usePeople, useRemovePerson } from "../../api/admin";
import { useSession } from "../../api/session";
import { text } from "../../text";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { dayAndTime } from "../../ui/format";
import { waiting } from "../../ui/States";
import { MachineKeys } from "./MachineKeys";
import { Remove } from "./Remove";
import { words } from "./words";
import { Password } from "../../ui/Password";

type Role = "operator" | "leader" | "labeller" | "engineer" | "admin";
const ROLES: readonly Role[] = ["operator", "leader", "labeller", "engineer", "admin"];
const LEAST_PASSWORD = 8;

/** Who may log in, and as what; and the keys of machines. */
export function People() {
  const people = usePeople();
  const change = useChangePerson();
  const remove = useRemovePerson();
  const me = useSession().data?.name;
  const roles = ROLES.map((value) => ({ value, label: text.everywhere.role[value] }));
  const problem = change.error ?? remove.error;
  return (
    <>
      <section className="panel" aria-label={words.people.accounts}>
        <h2>{words.people.accounts}</h2>
        {waiting(people)}
        {people.data && (
          <table className="table">
            <ColumnHeads names={[words.people.name, words.people.role, words.people.ways, words.people.since, words.people.newPassword, ""]} />
            <tbody>
              {people.data.items.map((person) => (
                <tr key={person.name}>
                  <th scope="row">{person.name}</th>
                  <td>
                    <NativeSelect size="xs" aria-label={words.people.roleOf({ name: person.name })} value={person.role} data={roles} disabled={person.name === me}
                      onChange={(event) => change.mutate({ name: person.name, role: event.currentTarget.value as Role })} />
                  </td>
                  <td>{ways(person)}</td>
                  <td className="quiet">{dayAndTime(person.created_at)}</td>
                  <td>{!person.company && <NewPassword person={person} change={(password) => change.mutateAsync({ name: person.name, password })} />}</td>
                  <td>{person.name !== me && <Remove name={person.name} remove={() => remove.mutate(person.name)} busy={remove.isPending} />}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        {problem && (
          <p role="alert" className="problem">
            {problem.message}
          </p>
        )}
        <AddPerson roles={roles} />
      </section>
      <MachineKeys roles={[{ value: "machine", label: words.people.machine }, ...roles]} />
    </>
  );
}

const ways = (person: Person): string =>
  [person.company ? words.people.byCompany : words.people.byPassword, ...(person.badge ? [words.people.byBadge] : [])].join(", ");

function NewPassword({ person, change }: { person: Person; change: (password: string) => Promise<unknown> }) {
  const [password, setPassword] = useState("");
  return (
    <form className="inline" onSubmit={(event) => (event.preventDefault(), void change(password).then(() => setPassword(""), () => undefined))}>
      <Password size="xs" w={150} autoComplete="new-password" aria-label={words.people.newPasswordOf({ name: person.name })} value={password} onChange={(event) => setPassword(event.currentTarget.value)} />
      <Button size="xs" type="submit" variant="default" disabled={password.length < LEAST_PASSWORD}>
        {words.save}
      </Button>
    </form>
  );
}

function AddPerson({ roles }: { roles: { value: Role; label: string }[] }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("operator");
  const [password, setPassword] = useState("");
  const add = useAddPerson();
  const done = () => {
    setName("");
    setPassword("");
  };
  return (
    <form className="inline" onSubmit={(event) => (event.preventDefault(), add.mutate({ name: name.trim(), role, password }, { onSuccess: done }))}>
      <TextInput label={words.people.name} value={name} maxLength={64} required autoComplete="off" onChange={(event) => setName(event.currentTarget.value)} />
      <NativeSelect label={words.people.role} value={role} data={roles} onChange={(event) => setRole(event.currentTarget.value as Role)} />
      <Password label={words.people.password} value={password} required autoComplete="new-password" w={240} onChange={(event) => setPassword(event.currentTarget.value)} />
      <Button type="submit" color="dark" disabled={!name.trim() || password.length < LEAST_PASSWORD} loading={add.isPending}>
        {words.add}
      </Button>
      {add.isSuccess && <span role="status">{words.people.added({ name: add.data.name })}</span>}
      {add.error && (
        <span role="alert" className="problem">
          {add.error.message}
        </span>
      )}
    </form>
  );
}
