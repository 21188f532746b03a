import { Button } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { Link, useSearch } from "wouter";
import { type BookPage, type Example, useBook, useBookAction } from "../../api/book";
import { useIsEngineer } from "../../api/session";
import { text } from "../../text";
import { ago } from "../../ui/format";
import { waiting } from "../../ui/States";
import { BookEditor } from "./BookEditor";
import { limitText } from "./limits";

/** What each class is, from which size on, and how it looks on real parts; `?class=NAME` shows that one. */
export function Book() {
  const book = useBook();
  const named = new URLSearchParams(useSearch()).get("class");
  const state = waiting(book);
  if (state || !book.data) return state;
  return (
    <div className="book">
      <p className="quiet">{book.data.version === 0 ? text.book.notBegun : text.book.about({ version: book.data.version })}</p>
      {book.data.classes.map((page) => (
        <ClassPage key={page.name} page={page} linked={page.name === named} />
      ))}
    </div>
  );
}

function ClassPage({ page, linked }: { page: BookPage; /** The address names it. */ linked: boolean }) {
  const place = useRef<HTMLElement>(null);
  useEffect(() => {
    if (linked) place.current?.scrollIntoView();
  }, [linked]);
  const [editing, setEditing] = useState(false);
  const engineer = useIsEngineer();
  const words = text.book;
  const shown = (shows: Example["shows"]) => page.examples.filter((example) => example.shows === shows);
  return (
    <section className="model" aria-label={page.name} ref={place} data-linked={linked}>
      <header>
        <h2>{page.name}</h2>
        <span className="quiet">
          {page.version > 0 ? words.version({ version: page.version }) : words.unwritten}
          {!page.served && ` · ${words.notServed}`}
        </span>
        {engineer && !editing && (
          <Button size="compact-sm" variant="default" onClick={() => setEditing(true)} aria-label={`${words.edit}: ${page.name}`}>
            {words.edit}
          </Button>
        )}
      </header>
      {editing ? (
        <BookEditor page={page} done={() => setEditing(false)} />
      ) : (
        <>
          <p className="book-definition">{page.definition || <span className="quiet">{words.noDefinition}</span>}</p>
          {page.limits.length > 0 && <p>{words.labelled({ limits: page.limits.map((limit) => limitText(limit)).join("; ") })}</p>}
        </>
      )}
      <Shelf title={words.is({ name: page.name })} examples={shown("is")} none={words.noExamples} />
      <Shelf title={words.isNot({ name: page.name })} examples={shown("is_not")} />
      <Shelf title={words.proposals} examples={page.proposals} />
      {page.history.length > 0 && (
        <details>
          <summary>{words.history({ count: page.history.length })}</summary>
          <ul>
            {page.history.map((change) => (
              <li key={change.version}>
                {words.version({ version: change.version })}: {change.change}, {change.by}, {ago(change.at, Date.now())}
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}

function Shelf({ title, examples, none }: { title: string; examples: readonly Example[]; none?: string }) {
  if (examples.length === 0) return none ? <p className="quiet">{none}</p> : null;
  return (
    <>
      <h3>{title}</h3>
      <ul className="book-shelf">
        {examples.map((example) => (
          <ExampleCard key={example.id} example={example} />
        ))}
      </ul>
    </>
  );
}

function ExampleCard({ example }: { example: Example }) {
  const engineer = useIsEngineer();
  const action = useBookAction();
  const words = text.book;
  const answer = (accept: boolean) => action.mutate({ kind: "answer", id: example.id, accept });
  return (
    <li>
      <img src={example.picture} alt={`${words.shows[example.shows]}: ${example.note || example.part}`} loading="lazy" />
      {example.state === "proposed" && <strong>{words.shows[example.shows]}</strong>}
      {example.note && <span>{example.note}</span>}
      <span className="quiet">
        <Link href={`/inspect/${example.inspection_id}`}>{example.part}</Link> · {example.by}
      </span>
      {engineer && (
        <span className="book-answer">
          {example.state === "proposed" && (
            <Button size="compact-sm" variant="filled" color="dark" disabled={action.isPending} onClick={() => answer(true)}>
              {words.accept}
            </Button>
          )}
          <Button size="compact-sm" variant="default" disabled={action.isPending} onClick={() => answer(false)}>
            {example.state === "proposed" ? words.decline : words.takeOut}
          </Button>
        </span>
      )}
      {action.error && (
        <span role="alert" className="problem">
          {action.error.message}
        </span>
      )}
    </li>
  );
}
