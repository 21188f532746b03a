import { Button, TextInput } from "@mantine/core";
import { useState } from "react";
import { useAddKey } from "../../api/admin";
import { words } from "../../text/desk";
import { command } from "./command";

type Props = { station: string; product: string; /** The newest inspection. */ newest: string | null };

/** A camera's own key, and the call by which it sends a picture. */
export function CameraForm({ station, product, newest }: Props) {
  const add = useAddKey();
  const [name, setName] = useState(`${station}-camera`);
  const [view, setView] = useState("");
  const [before, setBefore] = useState(newest);
  const named = words.guide;
  return (
    <>
      <p>{named.cameraHelp({ station })}</p>
      <form className="inline" onSubmit={(event) => (event.preventDefault(), add.mutate({ name: name.trim(), role: "machine", days: null }, { onSuccess: () => setBefore(newest) }))}>
        <TextInput label={named.cameraName} value={name} maxLength={64} required onChange={(event) => setName(event.currentTarget.value)} />
        <TextInput label={named.cameraView} value={view} maxLength={64} onChange={(event) => setView(event.currentTarget.value)} />
        <Button type="submit" color="dark" disabled={!name.trim()} loading={add.isPending}>
          {named.cameraMake}
        </Button>
      </form>
      {add.error && (
        <p role="alert" className="problem">
          {add.error.message}
        </p>
      )}
      {add.data && (
        <div role="status">
          <p className="key-once">
            {named.cameraOnce} <code>{add.data.key}</code>
          </p>
          <p>{named.cameraSends}</p>
          <pre className="camera-call" tabIndex={0} aria-label={named.cameraSends}>{command({ key: add.data.key, station, product, view: view.trim(), address: location.origin })}</pre>
          <p className="quiet">{newest === before ? named.cameraWaits : named.cameraCame}</p>
        </div>
      )}
    </>
  );
}
