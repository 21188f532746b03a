import { Link } from "wouter";
import { text } from "../../text";
import { fixed, percent } from "../../ui/format";
import { type Known, known } from "./known";

type Props = { name: string; report: Readonly<Record<string, unknown>> };

/** What the advice rests on in one line, which leads to the process's page; withdrawn advice is said above it. */
export function KnownPanel({ name, report }: Props) {
  const told = known(report);
  const words = text.known;
  const { promises } = told;
  return (
    <section className="known" aria-label={words.title}>
      {promises?.withdrawn && (
        <p role="alert" className="withdrawn">
          <strong>{words.withdrawn}</strong> {words.withdrawnWhy({ n: promises.finished, promised: percent(promises.promised), kept: percent(promises.kept) })}
        </p>
      )}
      <Link href={`/engineer/process/${encodeURIComponent(name)}`}>{words.title}</Link> <span className="quiet">{inShort(told)}</span>
    </section>
  );
}

/** The four things in one line. */
function inShort({ settings, notIdentified, drifting, leastCpk, promises }: Known): string {
  const words = text.known;
  return [
    settings > 0 && words.shortIdentified({ n: settings - notIdentified.length, all: settings }),
    drifting.length === 0 ? words.shortNoDrift : words.shortDrift({ count: drifting.length }),
    leastCpk !== null && words.shortCpk({ cpk: fixed(leastCpk, 2) }),
    promises && words.shortPromises({ promised: percent(promises.promised), kept: percent(promises.kept) }),
  ]
    .filter(Boolean)
    .join(" · ");
}
