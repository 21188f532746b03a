import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useState } from "react";
import { type Camera, useAccept, useCameras, useNewest, useSetMode } from "../../api/admin";
import { pictures, useStations } from "../../api/inspections";
import { useMode } from "../../api/money";
import { ago } from "../../ui/format";
import { Empty, waiting } from "../../ui/States";
import { text } from "../../text";
import { Link } from "wouter";
import { Said } from "./Said";
import { words } from "./words";

/** Every station: what its cameras see now, whether they are as usual, and what its verdicts may do. */
export function Stations() {
  const stations = useStations();
  const cameras = useCameras().data?.items ?? [];
  const state = waiting(stations);
  if (state) return state;
  if (stations.data?.length === 0) return <Empty title={words.stations.none} />;
  return stations.data?.map((station) => (
    <section key={station.name} className="panel" aria-label={station.name}>
      <h2>
        {station.name} <span className="badge">{station.product}</span>
      </h2>
      <p className="quiet">
        {words.stations.parts({ count: station.inspected })}
        {station.last_at && ` · ${words.stations.last({ when: ago(station.last_at, Date.now()) })}`}
      </p>
      <Live station={station.name} />
      <ul className="camera-states">
        {cameras.filter((one) => one.station === station.name).map((camera) => (
          <CameraState key={`${camera.view} ${camera.product}`} camera={camera} />
        ))}
      </ul>
      <Mode station={station.name} />
    </section>
  ));
}

/** The newest part's pictures; they change as parts come. */
function Live({ station }: { station: string }) {
  const newest = useNewest(station).data;
  if (!newest) return null;
  return (
    <div className="strip" role="group" aria-label={words.stations.live}>
      {newest.images.map((image) => (
        <Link key={image.n} href={`/inspect/${newest.id}`}>
          <img src={pictures.thumbnail(newest.id, image.n, 512)} alt={`${newest.part}, ${image.view || text.everywhere.view({ n: image.n + 1 })}`} />
          <span>{image.view || text.everywhere.view({ n: image.n + 1 })}</span>
        </Link>
      ))}
    </div>
  );
}

function CameraState({ camera }: { camera: Camera }) {
  const accept = useAccept();
  const view = camera.view || text.everywhere.view({ n: 1 });
  const changed = Object.values(camera.changed);
  return (
    <li>
      {changed.length > 0 ? words.stations.changed({ view, what: changed.join(", ") }) : camera.learning ? words.stations.learning({ view, n: camera.learnt }) : words.stations.watched({ view })}
      {!camera.learning && (
        <Button size="compact-xs" variant="default" loading={accept.isPending} aria-label={`${words.stations.accept}: ${view}`} onClick={() => accept.mutate({ station: camera.station, view: camera.view })}>
          {words.stations.accept}
        </Button>
      )}
      {accept.error && (
        <span role="alert" className="problem">
          {accept.error.message}
        </span>
      )}
    </li>
  );
}

type Word = "shadow" | "advise" | "decide";

function Mode({ station }: { station: string }) {
  const found = useMode(station).data;
  const set = useSetMode();
  const [mode, setMode] = useState<Word | null>(null);
  const [day, setDay] = useState("");
  const [part, setPart] = useState("");
  const [reason, setReason] = useState("");
  if (!found) return null;
  const limit = (typed: string, now: number | null): number | null => (typed.trim() === "" ? now : Number(typed.replace(",", ".")));
  const wish = { mode: mode ?? found.mode, limit_a_day: limit(day, found.limit_a_day), limit_a_part: limit(part, found.limit_a_part), reason: reason.trim() };
  const wrong = [wish.limit_a_day, wish.limit_a_part].some((one) => one !== null && !(one > 0));
  return (
    <form className="inline" onSubmit={(event) => (event.preventDefault(), set.mutate({ station, ...wish }, { onSuccess: () => (setMode(null), setReason("")) }))}>
      <NativeSelect label={words.stations.mode} value={wish.mode} data={(["shadow", "advise", "decide"] as const).map((value) => ({ value, label: words.stations.modes[value] }))}
        onChange={(event) => setMode(event.currentTarget.value as Word)} />
      <TextInput label={words.stations.limitDay} w={150} inputMode="decimal" placeholder={found.limit_a_day === null ? "" : String(found.limit_a_day)} value={day} onChange={(event) => setDay(event.currentTarget.value)} />
      <TextInput label={words.stations.limitPart} w={150} inputMode="decimal" placeholder={found.limit_a_part === null ? "" : String(found.limit_a_part)} value={part} onChange={(event) => setPart(event.currentTarget.value)} />
      <TextInput label={words.stations.reason} value={reason} maxLength={500} onChange={(event) => setReason(event.currentTarget.value)} />
      <Button type="submit" variant="default" disabled={!wish.reason || wrong} loading={set.isPending}>
        {words.save}
      </Button>
      <Said of={set} />
    </form>
  );
}
