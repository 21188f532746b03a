import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useState } from "react";
import { type Plain, type Setting, useChangeSettings, useSettings } from "../../api/admin";
import { waiting } from "../../ui/States";
import { Said } from "./Said";
import { read, shown } from "./setting";
import { words } from "./words";
import { explained } from "./explained";

const GROUPS = ["inspecting", "keeping", "schedules", "learning", "labelling", "people"] as const;

/** A form made of the server's own description of its settings. */
export function SettingsForm() {
  const settings = useSettings();
  const state = waiting(settings);
  if (state) return state;
  const items = settings.data?.items ?? [];
  return (
    <>
      <p className="quiet">{words.settings.help}</p>
      {settings.data?.restart && (
        <p role="status" className="note">
          {words.settings.restart}
        </p>
      )}
      {GROUPS.map((group) => (
        <Group key={group} title={words.settings.group[group]} items={items.filter((one) => one.group === group)} />
      ))}
      <details className="panel">
        <summary>{words.settings.group.deployment}</summary>
        <table className="table">
          <tbody>
            {items.filter((one) => one.group === "deployment").map((one) => (
              <tr key={one.name}>
                <th scope="row">
                  <code>{one.variable}</code>
                </th>
                <td>{said(one, one.value)}</td>
                <td className="quiet">{explained(one)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </>
  );
}

function Group({ title, items }: { title: string; items: readonly Setting[] }) {
  const [typed, setTyped] = useState<Record<string, string>>({});
  const change = useChangeSettings();
  const wishes = items.flatMap((one) => (one.name in typed && typed[one.name] !== shown(one.next) ? [[one.name, read(one, typed[one.name] ?? "")] as const] : []));
  const wrong = wishes.some(([, value]) => value === undefined);
  const submit = (event: React.FormEvent) => {
    event.preventDefault();
    change.mutate(Object.fromEntries(wishes) as Record<string, Plain>, { onSuccess: () => setTyped({}) });
  };
  return (
    <form className="panel settings-form" aria-label={title} onSubmit={submit}>
      <h2>{title}</h2>
      {items.map((one) => (
        <Field key={one.name} setting={one} value={typed[one.name] ?? shown(one.next)} set={(value) => setTyped({ ...typed, [one.name]: value })} />
      ))}
      <Button type="submit" color="dark" size="sm" disabled={wishes.length === 0 || wrong} loading={change.isPending}>
        {words.save}
      </Button>
      <Said of={change} />
    </form>
  );
}

function Field({ setting, value, set }: { setting: Setting; value: string; set: (value: string) => void }) {
  const fixed = setting.source === "environment";
  const help = [
    fixed ? words.settings.by.environment({ variable: setting.variable }) : words.settings.back({ value: said(setting, setting.default) }),
    ...(setting.value === setting.next ? [] : [words.settings.now({ value: said(setting, setting.value) })]),
  ].join(" · ");
  const props = { label: explained(setting), description: help, disabled: fixed, value, onChange: (event: { currentTarget: { value: string } }) => set(event.currentTarget.value) };
  if (setting.kind === "yes_no") return <NativeSelect {...props} w={160} data={[{ value: "true", label: words.settings.yes }, { value: "false", label: words.settings.no }]} styles={WIDE} />;
  if (setting.kind === "choice") return <NativeSelect {...props} w={200} data={setting.choices} styles={WIDE} />;
  return <TextInput {...props} w={200} styles={WIDE} error={read(setting, value) === undefined} inputMode={setting.kind === "cron" ? "text" : "decimal"} />;
}

/** Labels are sentences: wider than what is typed. */
const WIDE = { label: { width: "min(90ch, 80vw)", fontWeight: 400 }, description: { width: "min(90ch, 80vw)" } };

function said(setting: Setting, value: Plain): string {
  if (value === null) return /key|secret|token/.test(setting.name) ? words.settings.secret : words.settings.empty;
  if (typeof value === "boolean") return value ? words.settings.yes : words.settings.no;
  return value === "" ? words.settings.empty : String(value);
}
