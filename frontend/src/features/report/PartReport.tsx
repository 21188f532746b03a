import { Link } from "wouter";
import { useInspection } from "../../api/inspections";
import { useRecords } from "../../api/records";
import { useSession } from "../../api/session";
import type { Inspection } from "../../api/words";
import { text } from "../../text";
import { words } from "../../text/desk";
import { dayAndTime, shortId } from "../../ui/format";
import { Served } from "../../ui/Served";
import { Empty, waiting } from "../../ui/States";
import { TakeAway } from "../../ui/TakeAway";
import { VerdictMark } from "../../ui/VerdictMark";
import { ReportView } from "./ReportView";

/** So many inspections of a part are on its report, the newest. */
const SHOWN = 5;

/** A part on paper: every inspection with its pictures, outlines, defects, and what people said. */
export function PartReport({ part }: { part: string }) {
  const found = useRecords({ part }, SHOWN + 1);
  const who = useSession().data?.name ?? "";
  const named = words.report;
  const all = found.data?.pages[0]?.items ?? [];
  return (
    <article className="page report">
      <header className="page-head">
        <div>
          <p className="quiet">{named.title}</p>
          <h1>{named.part({ part })}</h1>
          <p className="quiet">{named.made({ when: dayAndTime(new Date().toISOString()), who })}</p>
        </div>
        <span className="no-print take-away">
          <Link href="/records">{named.back}</Link>
          <TakeAway />
        </span>
      </header>
      {waiting(found)}
      {found.data && all.length === 0 && <Empty title={named.none} />}
      {all.slice(0, SHOWN).map((one) => (
        <OneInspection key={one.id} id={one.id} />
      ))}
      {all.length > SHOWN && <p className="quiet">{named.more({ count: all.length - SHOWN })}</p>}
    </article>
  );
}

function OneInspection({ id }: { id: string }) {
  const found = useInspection(id);
  const { data } = found;
  if (!data) return waiting(found);
  return (
    <section className="report-inspection">
      <h2>{words.report.inspected({ station: data.station, when: dayAndTime(data.received_at) })}</h2>
      <Said inspection={data} />
      {data.images.map((image) => (
        <ReportView key={image.n} inspection={data} image={image} />
      ))}
    </section>
  );
}

function Said({ inspection }: { inspection: Inspection }) {
  const { verdict, decision, problem, model } = inspection;
  const named = words.report;
  return (
    <div className="report-said">
      {verdict && (
        <p className="report-verdict">
          <VerdictMark verdict={verdict} size={26} /> <strong>{text.verdictIs({ verdict: text.verdict[verdict] })}</strong>
        </p>
      )}
      {decision ? (
        <p>
          <VerdictMark verdict={decision.verdict} size={16} /> {named.said({ verdict: text.verdict[decision.verdict], by: decision.by, when: dayAndTime(decision.at) })}
          {decision.reason && ` · ${named.reason({ reason: decision.reason })}`}
        </p>
      ) : (
        <p className="quiet">{named.nobody}</p>
      )}
      {problem && (
        <p className="problem">
          <Served text={problem} />
        </p>
      )}
      {model && <p className="quiet">{text.everywhere.model({ id: shortId(model) })}</p>}
    </div>
  );
}
