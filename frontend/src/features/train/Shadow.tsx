import { useState } from "react";
import { useAssignments } from "../../api/serving";
import { EVERYWHERE, useStanding, type Where } from "../../api/shadow";
import type { Standing } from "../../api/words";
import { text } from "../../text";
import { fixed, shortId } from "../../ui/format";
import { waiting } from "../../ui/States";
import { Bounds } from "./Bounds";
import { Disagreements } from "./Disagreements";
import { evidenceShare, evidenceText } from "./evidence";
import { whereOf } from "./where";

/** The challengers that look on: how far the proof of each is, and the parts that a person should decide. */
export function Shadow() {
  const standing = useStanding(EVERYWHERE);
  const state = waiting(standing);
  const places = (useAssignments().data ?? []).filter(({ challenger }) => challenger !== null);
  const words = text.shadow;
  return (
    <section className="shadow" aria-label={words.title}>
      <h2>{words.title}</h2>
      {state}
      {standing.data === null && places.length === 0 && <p className="quiet">{words.none}</p>}
      {standing.data && <Looking standing={standing.data} />}
      {places.map((place) => (
        <There key={whereOf(place)} where={place} />
      ))}
    </section>
  );
}

/** The challenger of a product or a station; nothing is asked for before somebody opens it. */
function There({ where }: { where: Where }) {
  const [open, setOpen] = useState(false);
  const standing = useStanding(where, open);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{text.shadow.there({ where: whereOf(where) })}</summary>
      {open && waiting(standing)}
      {open && standing.data && <Looking standing={standing.data} />}
    </details>
  );
}

function Looking({ standing }: { standing: Standing }) {
  return (
    <>
      <Proof standing={standing} />
      <Disagreements where={standing} />
    </>
  );
}

function Proof({ standing }: { standing: Standing }) {
  const words = text.shadow;
  return (
    <article className="model">
      <header>
        <strong>{shortId(standing.challenger)}</strong>
        <span className="badge">{words.against({ id: shortId(standing.champion) })}</span>
        <span className="quiet" />
        <strong>{standing.open ? words.proved : words.notProved}</strong>
      </header>
      <p className="sentence">{standing.words}</p>
      <dl className="tallies">
        <Tally name={words.shadowed} value={fixed(standing.shadowed, 0)} />
        <Tally name={words.disagreements} value={text.everywhere.of({ n: standing.answered, all: standing.disagreements })} />
        <Tally name={words.championEscapes} value={text.everywhere.of({ n: standing.champion_escapes, all: standing.defective })} />
        <Tally name={words.challengerEscapes} value={text.everywhere.of({ n: standing.challenger_escapes, all: standing.defective })} />
      </dl>
      <Evidence name={words.better} value={standing.e_better} needed={standing.needed} />
      <Evidence name={words.noMoreEscapes} value={standing.e_escapes} needed={standing.needed} />
      <Bounds standing={standing} />
    </article>
  );
}

function Tally({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** A wager on its way: full where it is won. */
function Evidence({ name, value, needed }: { name: string; value: number; needed: number }) {
  const share = evidenceShare(value, needed);
  const figures = text.shadow.evidence({ has: evidenceText(value), needed: evidenceText(needed) });
  return (
    <div className="evidence" role="img" aria-label={`${name}: ${figures}`}>
      <span>{name}</span>
      <svg viewBox="0 0 100 10" preserveAspectRatio="none">
        <rect x="0" y="1" width="100" height="8" fill="var(--track)" />
        <rect x="0" y="1" width={100 * share} height="8" fill="var(--strong)" />
        <path d="M99.6 0V10" stroke="var(--mark)" strokeWidth="2" vectorEffect="non-scaling-stroke" />
      </svg>
      <span>{figures}</span>
    </div>
  );
}
