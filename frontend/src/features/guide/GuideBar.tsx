import { Link, useLocation } from "wouter";
import { useFirstRun, useGuide } from "../../api/guide";
import { words } from "../../text/desk";
import { nextOf, progressOf } from "./steps";

/** While a system is set up: on every other page what comes next, and the way back. */
export function GuideBar() {
  const found = useFirstRun(true).data;
  const guide = useGuide();
  const here = useLocation()[0].startsWith("/start");
  const next = nextOf(found?.steps ?? []);
  if (!found?.active || here || !next) return null;
  const { done, all } = progressOf(found.steps);
  return (
    <section className="guide-reminder no-print" aria-label={words.guide.title}>
      <span>{words.guide.bar({ n: done, all, step: words.guide.steps[next.name].name })}</span>
      <Link href="/start">{words.guide.back}</Link>
      <button type="button" className="link" onClick={() => guide.mutate({ left: true })}>
        {words.guide.leave}
      </button>
    </section>
  );
}
