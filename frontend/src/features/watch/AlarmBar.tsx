import { useState } from "react";
import { useAlarms } from "../../api/watching";
import { text } from "../../text";
import { ago, dayAndTime } from "../../ui/format";
import { AlarmDialog } from "./AlarmDialog";
import { viewOf } from "./around";
import { Served } from "../../ui/Served";

/** Alarms shown before the rest is asked for: the bar must not push the part off a small screen. */
const AT_FIRST = 2;

/** What is not as usual, on top of every page until somebody answers it; nothing at all while all is as usual. */
export function AlarmBar() {
  const alarms = useAlarms();
  const [all, setAll] = useState(false);
  const [chosen, setChosen] = useState<string | null>(null);
  const items = alarms.data?.items ?? [];
  const words = text.alarms;
  if (items.length === 0) return null;
  return (
    <section className="alarms" aria-label={words.title}>
      <ul>
        {items.slice(0, all ? undefined : AT_FIRST).map((alarm) => {
          const view = viewOf(alarm)?.name;
          return (
            <li key={alarm.id}>
              <span aria-hidden="true">▲</span>
              <strong>
                {alarm.station}
                {view && ` · ${view}`}
              </strong>
              <span className="alarm-what">
                <Served text={alarm.message} />
              </span>
              <span className="alarm-since" title={dayAndTime(alarm.since)}>
                {words.since({ when: dayAndTime(alarm.since), ago: ago(alarm.since, Date.now()) })}
              </span>
              <button type="button" className="link" onClick={() => setChosen(alarm.id)}>
                {words.look}
                <span className="unseen">: <Served text={alarm.message} /></span>
              </button>
            </li>
          );
        })}
      </ul>
      {items.length > AT_FIRST && (
        <button type="button" className="link" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? words.fewer : words.more({ count: items.length - AT_FIRST })}
        </button>
      )}
      <AlarmDialog alarm={items.find((alarm) => alarm.id === chosen) ?? null} close={() => setChosen(null)} />
    </section>
  );
}
