import { Button, TextInput } from "@mantine/core";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { Link } from "wouter";
import { ApiError } from "../../api/client";
import { useModelAction, useModels } from "../../api/learning";
import { useHealth } from "../../api/shadow";
import type { Model } from "../../api/words";
import { text } from "../../text";
import { words as desk } from "../../text/desk";
import { Dialog } from "../../ui/Dialog";
import { dayAndTime, shortId } from "../../ui/format";
import { waiting } from "../../ui/States";
import { TakeAway } from "../../ui/TakeAway";
import { FigureTable } from "./FigureTable";
import { sideBySide } from "./figures";
import { Heads } from "./Heads";
import { JobList } from "./JobList";
import { ModelCard } from "./ModelCard";
import { Places } from "./Places";
import { Shadow } from "./Shadow";
import { Served } from "../../ui/Served";

type Wish = { kind: "promote"; id: string } | { kind: "rollback" };

/** The registry: who serves, who challenged, why it was decided so; and what is being learnt now. `/models/ID` shows one of them. */
export function ModelsPage({ id }: { id?: string | undefined }) {
  const models = useModels();
  const action = useModelAction();
  const [wish, setWish] = useState<Wish | null>(null);
  const state = waiting(models);
  if (state) return state;
  const items = models.data?.items ?? [];
  const champion = items.find((model) => model.alias === "champion");
  const others = items.filter((model) => model !== champion);
  const words = text.train;
  const refused = action.error instanceof ApiError && action.error.status === 409 && action.variables?.kind === "promote" ? action.variables.id : null;
  return (
    <div className="page models">
      <div className="models-main">
        <header className="page-head">
          <h1>{words.serving}</h1>
          <TakeAway csv="/api/v1/models.csv" print={false} />
        </header>
        {id !== undefined && !items.some((model) => model.id === id) && <p role="alert">{words.noSuch({ id: shortId(id) })}</p>}
        {champion && <ModelFacts model={champion} linked={id} extra={<Runtime id={champion.id} />} />}
        <div className="models-buttons">
          <Button color="dark" loading={action.isPending} onClick={() => action.mutate({ kind: "retrain" })}>
            {words.retrain}
          </Button>
          <Button variant="default" disabled={!others.some((model) => model.state === "retired")} onClick={() => setWish({ kind: "rollback" })}>
            {words.rollback}
          </Button>
        </div>
        {action.error && (
          <p role="alert" className="problem">
            {action.error.message}
          </p>
        )}
        {refused && <InSpite id={refused} promote={action.mutate} />}
        <Shadow />
        <h2>{words.others}</h2>
        {others.length === 0 && <p className="quiet">{words.noOthers}</p>}
        {others.map((model) => (
          <ModelFacts key={model.id} model={model} linked={id} promote={() => setWish({ kind: "promote", id: model.id })}
            {...(model.alias === "challenger" ? {} : { challenge: () => action.mutate({ kind: "challenge", id: model.id }) })} />
        ))}
        <Places models={items} />
        <Heads />
      </div>
      <section className="models-jobs" aria-label={words.jobs}>
        <h2>{words.jobs}</h2>
        <JobList />
      </section>
      <Dialog opened={wish !== null} onClose={() => setWish(null)} title={words.change} closeButtonProps={{ "aria-label": text.everywhere.close }}>
        <p>
          {wish?.kind === "promote"
            ? words.changePromote({ id: shortId(wish.id) })
            : words.changeBack}
        </p>
        <Button
          color="dark"
          onClick={() => {
            if (wish) action.mutate(wish);
            setWish(null);
          }}
        >
          {wish?.kind === "promote" ? words.promote : words.rollback}
        </Button>
      </Dialog>
    </div>
  );
}

/** A model that errs on golden parts serves only if a person says why; the reason is in the audit trail. */
function InSpite({ id, promote }: { id: string; promote: (wish: { kind: "promote"; id: string; inSpiteOf: string }) => void }) {
  const [why, setWhy] = useState("");
  return (
    <form className="inline" onSubmit={(event) => (event.preventDefault(), promote({ kind: "promote", id, inSpiteOf: why.trim() }))}>
      <TextInput label={desk.places.inSpite} value={why} maxLength={500} w={420} onChange={(event) => setWhy(event.currentTarget.value)} />
      <Button type="submit" variant="default" disabled={!why.trim()}>
        {desk.places.anyway}
      </Button>
    </form>
  );
}

/** What computes the model that serves, as the server says; nothing while it serves another one. */
function Runtime({ id }: { id: string }) {
  const model = useHealth().data?.components["model"];
  if (!model || model["id"] !== id || typeof model["runtime"] !== "string") return null;
  return <p className="quiet">{text.train.runtime({ name: model["runtime"] })}</p>;
}

const standing = (word: string): string => text.train.standing[word as keyof typeof text.train.standing] ?? word;

type Facts = { model: Model; /** The model that the address names. */ linked: string | undefined; promote?: () => void; challenge?: () => void; extra?: ReactNode };

function ModelFacts({ model, linked, promote, challenge, extra }: Facts) {
  const place = useRef<HTMLElement>(null);
  const named = linked === model.id;
  useEffect(() => {
    if (named) place.current?.scrollIntoView();
  }, [named]);
  const compared = model.decision as { promote?: boolean; reason?: string; champion?: object; challenger?: object } | null;
  const both = compared?.champion && compared.challenger;
  const rows = both ? sideBySide([compared.champion, compared.challenger]) : sideBySide([model.figures]);
  const [deciding, others] = [rows.filter((row) => row.deciding), rows.filter((row) => !row.deciding)];
  const columns = both ? [text.train.championThen, text.train.thisModel] : [text.train.onValidation];
  return (
    <article className="model" data-state={model.state} ref={place} data-linked={named}>
      <header>
        <strong>
          <Link href={`/models/${encodeURIComponent(model.id)}`} aria-current={named ? "true" : undefined}>
            {shortId(model.id)}
          </Link>
        </strong>
        <span className="badge">{standing(model.alias ?? model.state)}</span>
        <span className="quiet">{dayAndTime(model.created_at)}</span>
        {challenge && (
          <Button size="compact-sm" variant="default" title={text.train.challengeHelp} onClick={challenge}>
            {text.train.challenge}
          </Button>
        )}
        {promote && (
          <Button size="compact-sm" variant="default" onClick={promote}>
            {text.train.promote}
          </Button>
        )}
      </header>
      {compared?.reason && (
        <p>
          <strong>{compared.promote ? text.train.promoted : text.train.notPromoted}:</strong> <Served text={compared.reason} />
        </p>
      )}
      <p className="quiet">{text.train.classes({ names: Object.values(model.classes).join(", ") || text.train.noClasses })}</p>
      {extra}
      {deciding.length > 0 && <FigureTable rows={deciding} columns={columns} />}
      {others.length > 0 && (
        <details>
          <summary>{text.train.allFigures}</summary>
          <FigureTable rows={others} columns={columns} />
        </details>
      )}
      <ModelCard key={String(named)} model={model} opened={named} />
    </article>
  );
}
