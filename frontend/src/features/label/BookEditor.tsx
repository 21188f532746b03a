import { Button } from "@mantine/core";
import { useId, useState } from "react";
import { type BookPage, useBookAction } from "../../api/book";
import { text } from "../../text";
import { draftOf, limitsOf, MEASURES } from "./limits";

/** A class's definition and limits; stored as a version of its own, and shown to labellers at once. */
export function BookEditor({ page, done }: { page: BookPage; done: () => void }) {
  const [definition, setDefinition] = useState(page.definition);
  const [draft, setDraft] = useState(draftOf(page.limits));
  const [after] = useState(page.version); // what was read when the editing began: what came since is not overwritten
  const action = useBookAction();
  const id = useId();
  const words = text.book;
  const limits = limitsOf(draft);
  const save = () => limits && action.mutate({ kind: "write", name: page.name, definition, limits, after }, { onSuccess: done });
  return (
    <form
      className="book-editor"
      onSubmit={(event) => {
        event.preventDefault();
        save();
      }}
    >
      <label htmlFor={`${id}-definition`}>{words.definition}</label>
      <textarea id={`${id}-definition`} rows={3} maxLength={4000} value={definition} onChange={(event) => setDefinition(event.target.value)} />
      {MEASURES.map((measure) => (
        <fieldset key={measure}>
          <legend>{words.measureHead[measure]}</legend>
          {(["low", "high"] as const).map((end) => (
            <label key={end}>
              {words.end[end]}
              <input inputMode="decimal" size={7} value={draft[measure][end]}
                onChange={(event) => setDraft({ ...draft, [measure]: { ...draft[measure], [end]: event.target.value } })} />
            </label>
          ))}
        </fieldset>
      ))}
      {limits === null && <p className="problem" role="alert">{words.noNumber}</p>}
      {action.error && <p className="problem" role="alert">{action.error.message}</p>}
      <div className="book-answer">
        <Button type="submit" color="dark" disabled={limits === null || definition.trim() === "" || action.isPending}>
          {words.save}
        </Button>
        <Button variant="default" onClick={done}>
          {words.cancel}
        </Button>
      </div>
    </form>
  );
}
