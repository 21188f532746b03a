import { Button } from "@mantine/core";
import { useEffect } from "react";
import { Link } from "wouter";
import { type FirstRun, type Step, useFirstRun, useGuide } from "../../api/guide";
import { words } from "../../text/desk";
import { waiting } from "../../ui/States";
import { CameraForm } from "./CameraForm";
import { StationForm } from "./StationForm";
import { Upload } from "./Upload";
import { nextOf, progressOf } from "./steps";

/** From an empty system to the first verdict on one's own pictures; each step's state is the server's word. */
export function GuidePage() {
  const found = useFirstRun(true, true);
  const guide = useGuide();
  const begin = guide.mutate;
  useEffect(() => begin({ begun: true }), [begin]);
  const now = found.data;
  if (!now) return waiting(found);
  const { done, all } = progressOf(now.steps);
  const named = words.guide;
  return (
    <div className="page guide">
      <header className="page-head">
        <div>
          <h1>{now.done ? named.complete : named.title}</h1>
          <p className="quiet">{now.done ? named.completeHelp : now.empty || now.active || now.left ? named.help : named.notNeeded}</p>
        </div>
        {!now.done && <strong role="status">{named.progress({ n: done, all })}</strong>}
      </header>
      <progress className="guide-bar" max={all} value={done} aria-label={named.progress({ n: done, all })} />
      {now.left && (
        <p className="note">
          {named.leftNow}{" "}
          <Button size="xs" color="dark" onClick={() => guide.mutate({ left: false })}>
            {named.resume}
          </Button>
        </p>
      )}
      {guide.error && (
        <p role="alert" className="problem">
          {guide.error.message}
        </p>
      )}
      <ol className="guide-steps">
        {now.steps.map((step, place) => (
          <OneStep key={step.name} step={step} place={place} next={step.name === nextOf(now.steps)?.name} now={now} see={(id) => guide.mutate({ seen: id })} />
        ))}
      </ol>
      {!now.done && !now.left && (
        <Button variant="default" onClick={() => guide.mutate({ left: true })}>
          {named.leave}
        </Button>
      )}
    </div>
  );
}

type Props = { step: Step; place: number; next: boolean; now: FirstRun; see: (id: string) => void };

function OneStep({ step, place, next, now, see }: Props) {
  const { name, help } = words.guide.steps[step.name];
  const state = step.done ? words.guide.isDone : next ? words.guide.isNext : words.guide.isOpen;
  return (
    <li className="panel" data-done={step.done} data-next={next} aria-current={next ? "step" : undefined}>
      <h2>
        <span className="guide-mark" role="img" aria-label={state}>
          {step.done ? "✓" : place + 1}
        </span>
        {name} {step.optional && <span className="badge">{words.guide.optional}</span>} {step.done && step.detail && step.name !== "verdict" && <span className="quiet">{step.detail}</span>}
      </h2>
      <p className="quiet">{help}</p>
      <Way step={step} now={now} see={see} />
    </li>
  );
}

/** How a step is done: on its own page, from which the bar above leads back; or here. */
function Way({ step, now, see }: Pick<Props, "step" | "now" | "see">) {
  const named = words.guide;
  const go = (href: string) => <Link href={href}>{named.go}</Link>;
  if (step.name === "password") return step.done ? null : go("/admin/people");
  if (step.name === "product") return go("/admin/products");
  if (step.name === "second_person") return go("/admin/people");
  if (step.name === "label_studio") return go("/admin/connections");
  if (step.name === "station") return step.done ? go("/admin/stations") : <StationForm />;
  if (step.name === "pictures") {
    if (!now.station) return null;
    return (
      <>
        <Upload station={now.station} product={now.product} see={see} />
        <details className="camera-instead">
          <summary>{named.camera}</summary>
          <CameraForm station={now.station} product={now.product} newest={now.newest} />
        </details>
      </>
    );
  }
  return now.newest ? (
    <figure className="first-verdict">
      <img src={`/api/v1/inspections/${now.newest}/images/0/overlay.png`} alt={named.overlay({ part: now.steps.find((one) => one.name === "pictures")?.detail ?? "" })} />
      <figcaption className="inline">
        <Link href={`/inspect/${now.newest}`} onClick={() => now.newest && see(now.newest)}>
          {named.see}
        </Link>
        {!step.done && (
          <Button size="xs" color="dark" onClick={() => now.newest && see(now.newest)}>
            {named.seen}
          </Button>
        )}
      </figcaption>
    </figure>
  ) : null;
}
