import { Link } from "wouter";
import { pictures, useInspection } from "../../api/inspections";
import { useIsEngineer } from "../../api/session";
import type { Alarm } from "../../api/words";
import { text } from "../../text";
import { Dialog } from "../../ui/Dialog";
import { clock, dayAndTime } from "../../ui/format";
import { VerdictMark } from "../../ui/VerdictMark";
import { AlarmAnswer } from "./AlarmAnswer";
import { imageFor } from "./around";
import { Served } from "../../ui/Served";

/** One alarm: the pictures before it began over those since, and a person's answer. Closes itself when it is answered. */
export function AlarmDialog({ alarm, close }: { alarm: Alarm | null; close: () => void }) {
  const may = useIsEngineer();
  const words = text.alarms;
  return (
    <Dialog opened={alarm !== null} onClose={close} size={1080} title={alarm && `${words.kind[alarm.kind as keyof typeof words.kind] ?? alarm.kind}: ${alarm.station}`}
      closeButtonProps={{ "aria-label": text.everywhere.close }}>
      {alarm && (
        <div className="alarm-dialog">
          <p>
            <Served text={alarm.message} />
          </p>
          <p className="quiet">{words.began({ since: dayAndTime(alarm.since), raised: dayAndTime(alarm.raised_at) })}</p>
          <Strip title={words.before} ids={alarm.before} alarm={alarm} leave={close} />
          <Strip title={words.after} ids={alarm.after} alarm={alarm} leave={close} />
          {may ? <AlarmAnswer key={alarm.id} alarm={alarm} /> : <p className="quiet">{words.engineersOnly}</p>}
        </div>
      )}
    </Dialog>
  );
}

function Strip({ title, ids, alarm, leave }: { title: string; ids: readonly string[]; alarm: Alarm; leave: () => void }) {
  return (
    <section aria-label={title}>
      <h3>{title}</h3>
      {ids.length === 0 && <p className="quiet">{text.alarms.noPictures}</p>}
      <ul className="strip">
        {ids.map((id) => (
          <Seen key={id} id={id} alarm={alarm} leave={leave} />
        ))}
      </ul>
    </section>
  );
}

function Seen({ id, alarm, leave }: { id: string; alarm: Alarm; leave: () => void }) {
  const { data, isError } = useInspection(id);
  if (isError) return <li className="quiet">{text.alarms.gone}</li>;
  if (!data) return <li className="strip-waiting" />;
  return (
    <li>
      <Link href={`/inspect/${id}`} onClick={leave}>
        <img src={pictures.thumbnail(id, imageFor(data.images, alarm), 320)} alt="" loading="lazy" />
        <span>
          {data.verdict && <VerdictMark verdict={data.verdict} size={14} />} {data.part}
        </span>
        <span className="quiet">{clock(data.received_at)}</span>
      </Link>
    </li>
  );
}
