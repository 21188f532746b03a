import { useMode } from "../../api/money";
import { text } from "../../text";
import { money } from "../../ui/format";
import { Served } from "../../ui/Served";

/** What each station's verdicts may do, what they cost today, and how far the proof for the next step is. */
export function Modes({ stations }: { stations: readonly string[] }) {
  const words = text.money;
  if (stations.length === 0) return null;
  return (
    <section aria-label={words.modes}>
      <h2>{words.modes}</h2>
      <p className="quiet">{words.modesHelp}</p>
      {stations.map((station) => (
        <Mode key={station} station={station} />
      ))}
    </section>
  );
}

function Mode({ station }: { station: string }) {
  const found = useMode(station).data;
  const words = text.money;
  if (!found) return null;
  const cost = found.cost_today === null ? "" : today(money(found.cost_today, found.currency), found.limit_a_day === null ? null : money(found.limit_a_day, found.currency));
  return (
    <article className="model">
      <header>
        <strong>{station}</strong>
        <span className="badge">{words.mode[found.mode]}</span>
        <span className="quiet">{cost}</span>
      </header>
      {found.evidence && <p className="sentence"><Served text={found.evidence.words} /></p>}
      {found.reason && <p className="quiet">{words.because({ by: found.by, reason: found.reason })}</p>}
    </article>
  );
}

const today = (cost: string, limit: string | null): string => (limit === null ? text.money.today({ cost }) : text.money.todayOf({ cost, limit }));
