import { Button, Progress } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { Link } from "wouter";
import { ApiError } from "../../api/client";
import { inspect } from "../../api/guide";
import { pictures } from "../../api/inspections";
import type { Inspection } from "../../api/words";
import { words } from "../../text/desk";
import { text } from "../../text";
import { worstImage } from "../../ui/worst";
import { VerdictMark } from "../../ui/VerdictMark";
import { dropped } from "./dropped";
import { gather } from "./gather";

type Sent = { part: string; inspection?: Inspection; problem?: string };

/** The server has no model yet: it is asked again after so long, in ms. */
const EARLY_MS = 3_000;

/** Own pictures, dropped or chosen, one after the other to be inspected; each verdict is shown as it comes. */
export function Upload({ station, product, see }: { station: string; product: string; see: (id: string) => void }) {
  const queries = useQueryClient();
  const [sent, setSent] = useState<Sent[]>([]);
  const [all, setAll] = useState(0);
  const [others, setOthers] = useState(0);
  const [early, setEarly] = useState(false);
  const [over, setOver] = useState(false);
  const files = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const busy = sent.length < all;

  const send = async (chosen: readonly File[]) => {
    const { parts, others: left } = gather(chosen);
    setOthers(left);
    setSent([]);
    setAll(parts.length);
    for (const part of parts) {
      const answer = await once(() => inspect(station, product, part), setEarly);
      setSent((before) => [...before, { part: part.part, ...answer }]);
      void queries.invalidateQueries({ queryKey: ["first-run"] });
    }
    await queries.invalidateQueries({ queryKey: ["inspections"] });
  };
  const chosen = (input: HTMLInputElement) => {
    void send([...(input.files ?? [])]);
    input.value = "";
  };
  const named = words.guide;
  return (
    <div className="upload">
      <div className="drop" data-over={over} onDragOver={(event) => (event.preventDefault(), setOver(true))} onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          if (!busy) void dropped(event.dataTransfer.items).then(send);
        }}
      >
        <strong>{named.drop}</strong>
        <span className="inline">
          <Button color="dark" disabled={busy} onClick={() => files.current?.click()}>
            {named.choose}
          </Button>
          <Button variant="default" disabled={busy} onClick={() => folder.current?.click()}>
            {named.chooseFolder}
          </Button>
        </span>
        <span className="quiet">{named.naming}</span>
        <input ref={files} type="file" hidden multiple accept="image/png,image/jpeg,image/bmp,image/tiff" aria-label={named.choose} onChange={(event) => chosen(event.currentTarget)} />
        <input ref={folder} type="file" hidden multiple {...{ webkitdirectory: "" }} aria-label={named.chooseFolder} onChange={(event) => chosen(event.currentTarget)} />
      </div>
      {others > 0 && <p className="problem">{named.notPictures({ count: others })}</p>}
      {all > 0 && (
        <div className="looking">
          <span role="status">{named.sending({ n: sent.length, all })}</span>
          <Progress value={(100 * sent.length) / all} color="dark" aria-label={named.sending({ n: sent.length, all })} />
        </div>
      )}
      {early && <p className="note">{named.tooEarly}</p>}
      <ul className="sent">
        {sent.map(({ part, inspection, problem }) => (
          <li key={part}>
            {inspection && (
              <Link href={`/inspect/${inspection.id}`} onClick={() => see(inspection.id)}>
                <img src={pictures.thumbnail(inspection.id, worstImage(inspection.images), 160)} alt="" width={120} height={90} />
                <span>
                  {inspection.verdict && <VerdictMark verdict={inspection.verdict} size={16} />} {part}
                </span>
                <span className="quiet">{inspection.verdict && text.verdict[inspection.verdict]}</span>
              </Link>
            )}
            {problem && (
              <p role="alert" className="problem">
                {named.refused({ part })} {problem}
              </p>
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}

/** What came of one part; a server that is not ready yet is asked again until it is. */
async function once(ask: () => Promise<Inspection>, early: (yes: boolean) => void): Promise<Omit<Sent, "part">> {
  for (;;) {
    try {
      const inspection = await ask();
      early(false);
      return { inspection };
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status !== 503) return { problem: error.message };
      early(true);
      await new Promise((done) => setTimeout(done, EARLY_MS));
    }
  }
}
