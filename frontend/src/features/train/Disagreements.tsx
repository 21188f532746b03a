import { Button, SegmentedControl } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import { pictures, useInspection } from "../../api/inspections";
import { useDisagreements, type Where } from "../../api/shadow";
import type { Disagreement, Verdict } from "../../api/words";
import { text } from "../../text";
import { dayAndTime } from "../../ui/format";
import { waiting } from "../../ui/States";
import { VerdictMark } from "../../ui/VerdictMark";
import { worstImage } from "../../ui/worst";

/** Pictures at first, and so many more at a time. */
const PAGE = 12;

/** Only the parts on which the two differ, pictures first; each opens the part, where a person decides it. */
export function Disagreements({ where }: { where: Where }) {
  const [which, setWhich] = useState<"open" | "all">("open");
  const [shown, setShown] = useState(PAGE);
  const list = useDisagreements(where, which === "open");
  const items = list.data?.items ?? [];
  const words = text.shadow;
  return (
    <>
      <h3>{words.differ}</h3>
      <p className="quiet">{words.differHelp}</p>
      <SegmentedControl size="xs" value={which} aria-label={words.differ} onChange={(value) => setWhich(value as "open" | "all")}
        data={[{ value: "open", label: words.open }, { value: "all", label: words.all }]} />
      {waiting(list)}
      {list.data && items.length === 0 && <p className="quiet">{which === "open" ? words.noneOpen : words.noneAtAll}</p>}
      <ul className="pairs">
        {items.slice(0, shown).map((item) => (
          <Pair key={item.inspection_id} item={item} />
        ))}
      </ul>
      {items.length > shown && (
        <Button variant="default" size="xs" onClick={() => setShown(shown + PAGE)}>
          {text.inspect.more}
        </Button>
      )}
    </>
  );
}

function Pair({ item }: { item: Disagreement }) {
  const { data } = useInspection(item.inspection_id);
  return (
    <li>
      <Link href={`/inspect/${item.inspection_id}`}>
        {data ? <img src={pictures.thumbnail(data.id, worstImage(data.images), 320)} alt="" loading="lazy" /> : <span className="pair-waiting" />}
        <strong>{item.part}</strong>
        <span className="quiet">
          {item.station} · {dayAndTime(item.at)}
        </span>
        <Word who={text.shadow.champion} verdict={item.champion} />
        <Word who={text.shadow.challenger} verdict={item.challenger} />
        {item.decision ? <Word who={text.shadow.person} verdict={item.decision} /> : <em>{text.shadow.undecided}</em>}
      </Link>
    </li>
  );
}

function Word({ who, verdict }: { who: string; verdict: Verdict }) {
  return (
    <span className="pair-word">
      <span>{who}</span>
      <VerdictMark verdict={verdict} size={16} />
      <strong aria-hidden="true">{text.verdict[verdict]}</strong>
    </span>
  );
}
