import { Button, NativeSelect, TextInput } from "@mantine/core";
import { memo, useCallback, useEffect, useRef, useState } from "react";
import { type Filter, FIRST_PX, pictures, useStations } from "../../api/inspections";
import { useOutbox, verdictOf, type Word } from "../../api/outbox";
import type { Inspection, Verdict } from "../../api/words";
import { text } from "../../text";
import { language } from "../../text/language";
import { clock } from "../../ui/format";
import { VerdictMark } from "../../ui/VerdictMark";
import { worstImage } from "../../ui/worst";
import { FaultSign } from "./FaultNotice";
import { faultsOf } from "./faults";

type Props = {
  items: readonly Inspection[];
  chosen: string | undefined;
  choose: (id: string) => void;
  filter: Filter;
  setFilter: (filter: Filter) => void;
  following: boolean;
  follow: (yes: boolean) => void;
  newer: number;
  more: (() => void) | null;
};

export function InspectionList(props: Props) {
  const { items, chosen, filter, setFilter, following } = props;
  const stations = useStations();
  const kept = useOutbox();
  const [typed, setTyped] = useState(filter.part ?? "");
  const find = (part: string) => setFilter(without({ ...filter, part: part.trim() }));
  const row = useRef<HTMLLIElement>(null);
  useEffect(() => {
    const next = requestAnimationFrame(() => void row.current?.scrollIntoView({ block: "nearest" })); // once all is drawn: it measures the page
    return () => cancelAnimationFrame(next);
  }, [chosen]);
  const choose = useRef(props.choose);
  choose.current = props.choose;
  const look = useCallback((id: string) => choose.current(id), []);
  const words = text.inspect;
  return (
    <section className="list" aria-label={words.list}>
      <div className="list-head">
        <NativeSelect
          size="xs"
          aria-label={words.station}
          value={filter.station ?? ""}
          onChange={(event) => setFilter(without({ ...filter, station: event.currentTarget.value }))}
          data={[{ value: "", label: words.allStations }, ...(stations.data ?? []).map((station) => station.name)]}
        />
        <NativeSelect
          size="xs"
          aria-label={words.verdict}
          value={filter.verdict ?? ""}
          onChange={(event) => setFilter(without({ ...filter, verdict: event.currentTarget.value as Verdict }))}
          data={[
            { value: "", label: words.allVerdicts },
            ...(["ok", "review", "ng"] as const).map((value) => ({ value, label: text.verdict[value] })),
          ]}
        />
        <form className="find" role="search" onSubmit={(event) => (event.preventDefault(), find(typed))}>
          <TextInput size="xs" type="search" aria-label={words.find} placeholder={words.find} value={typed} maxLength={128}
            onChange={(event) => {
              setTyped(event.currentTarget.value);
              if (event.currentTarget.value === "") find("");
            }} />
        </form>
        <button type="button" className="follow" aria-pressed={following} onClick={() => props.follow(!following)}>
          <span aria-hidden="true">{following ? "▶" : "❚❚"}</span>
          {following ? words.following : `${words.paused}${props.newer ? ` · ${words.newer({ count: props.newer })}` : ""}`}
          <kbd>L</kbd>
        </button>
      </div>
      {items.length === 0 && <p className="list-empty">{filter.station || filter.verdict || filter.part ? words.emptyFilter : words.empty}</p>}
      <ul>
        {items.map((item) => (
          <li key={item.id} ref={item.id === chosen ? row : null}>
            <Row item={item} current={item.id === chosen} kept={kept.findLast((word) => word.inspection === item.id && !word.refused)} look={look} spoken={language()} />
          </li>
        ))}
      </ul>
      {props.more && (
        <Button variant="subtle" color="gray" size="xs" onClick={props.more}>
          {words.more}
        </Button>
      )}
    </section>
  );
}

type RowProps = { item: Inspection; current: boolean; kept: Word | undefined; look: (id: string) => void; /** Another language is another row. */ spoken: string };

/** A part in the list. Drawn anew only where something of it changed: whoever goes on by key waits for two rows, not for all. */
const Row = memo(function Row({ item, current, kept, look }: RowProps) {
  return (
    <button type="button" className="row" aria-current={current} onClick={() => look(item.id)}>
      <img src={pictures.thumbnail(item.id, worstImage(item.images), FIRST_PX)} alt="" loading="lazy" width={56} height={44} />
      <span className="row-text">
        <strong>{item.part}</strong>
        <span className="row-when">
          <span>{item.station}</span> <time dateTime={item.received_at}>{clock(item.received_at)}</time>
        </span>
      </span>
      <span className="row-verdict" data-verdict={item.verdict ?? "none"}>
        <Said item={item} />
        <Decided item={item} kept={kept} />
      </span>
    </button>
  );
});

/** A person's word or call, which may still wait on this computer; or what holds where nobody answered a call. */
function Decided({ item, kept }: { item: Inspection; kept: Word | undefined }) {
  const takenBack = kept?.kind === "undo" || kept?.kind === "withdraw";
  const verdict = takenBack ? undefined : kept ? verdictOf(kept) : (item.decision?.verdict ?? item.call?.verdict);
  if (verdict) return <span className="row-decision">→ {text.verdict[verdict]}{kept && " …"}</span>;
  const called = !takenBack && (kept?.kind === "call" || item.call?.state === "open");
  return called && <span className="row-decision">{text.call.short}{kept && " …"}</span>;
}

/** What is said of a part: its verdict, or that its camera is at fault. */
function Said({ item }: { item: Inspection }) {
  if (faultsOf(item).length > 0) {
    return (
      <>
        <FaultSign size={22} />
        <span>{text.fault.short}</span>
      </>
    );
  }
  return (
    <>
      {item.verdict && <VerdictMark verdict={item.verdict} size={22} />}
      <span>{item.verdict ? text.verdict[item.verdict] : "…"}</span>
    </>
  );
}

function without(filter: { [K in keyof Filter]?: string | undefined }): Filter {
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value)) as Filter;
}
