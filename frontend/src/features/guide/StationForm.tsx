import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useState } from "react";
import { useSetMode } from "../../api/admin";
import { useQueryClient } from "@tanstack/react-query";
import { words } from "../../text/desk";

const MODES = ["decide", "advise", "shadow"] as const;

/** The server takes such names (they are parts of addresses and folders). */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** A station by its name, and what its verdicts may do. */
export function StationForm() {
  const queries = useQueryClient();
  const [station, setStation] = useState("station-1");
  const [mode, setMode] = useState<(typeof MODES)[number]>("decide");
  const set = useSetMode();
  const named = words.guide;
  return (
    <form
      className="inline"
      onSubmit={(event) => {
        event.preventDefault();
        set.mutate({ station, mode, reason: named.reason }, { onSuccess: () => queries.invalidateQueries({ queryKey: ["first-run"] }) });
      }}
    >
      <TextInput label={named.stationName} value={station} maxLength={64} required onChange={(event) => setStation(event.currentTarget.value)} />
      <NativeSelect label={named.mode} description={named.modeHelp} value={mode} data={MODES.map((value) => ({ value, label: named.modes[value] }))} onChange={(event) => setMode(event.currentTarget.value as (typeof MODES)[number])} />
      <Button type="submit" color="dark" disabled={!NAME.test(station)} loading={set.isPending}>
        {named.make}
      </Button>
      {set.error && (
        <span role="alert" className="problem">
          {set.error.message}
        </span>
      )}
    </form>
  );
}
