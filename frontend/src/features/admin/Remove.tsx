import { Button } from "@mantine/core";
import { useState } from "react";
import { words } from "./words";

type Props = { name: string; label?: string; remove: () => void; busy: boolean };

/** A button that asks once more before something is gone for good. */
export function Remove({ name, label = words.remove, remove, busy }: Props) {
  const [asked, setAsked] = useState(false);
  if (!asked) {
    return (
      <Button size="xs" variant="default" aria-label={`${label}: ${name}`} onClick={() => setAsked(true)}>
        {label}
      </Button>
    );
  }
  return (
    <span role="group" aria-label={words.sure({ name })} className="sure">
      {words.sure({ name })}{" "}
      <Button size="xs" color="dark" loading={busy} autoFocus onClick={() => (remove(), setAsked(false))}>
        {label}
      </Button>
      <Button size="xs" variant="subtle" color="gray" onClick={() => setAsked(false)}>
        {words.cancel}
      </Button>
    </span>
  );
}
