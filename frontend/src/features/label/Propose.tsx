import { Button } from "@mantine/core";
import { useId, useState } from "react";
import { type Example, useBook, useBookAction } from "../../api/book";
import { useIsEngineer } from "../../api/session";
import type { LabelTask } from "../../api/words";
import { text } from "../../text";

/** A finished task as an example of the book: an engineer's stands at once, a labeller's waits for an engineer's word. */
export function Propose({ task }: { task: LabelTask }) {
  const [open, setOpen] = useState(false);
  const engineer = useIsEngineer();
  const words = text.book;
  if (!open) {
    return (
      <Button size="compact-xs" variant="default" onClick={() => setOpen(true)}>
        {engineer ? words.addExample : words.propose}
      </Button>
    );
  }
  return <Form task={task} done={() => setOpen(false)} />;
}

function Form({ task, done }: { task: LabelTask; done: () => void }) {
  const classes = useBook().data?.classes.map((page) => page.name) ?? [];
  const [name, setName] = useState("");
  const [shows, setShows] = useState<Example["shows"]>("is");
  const [note, setNote] = useState("");
  const action = useBookAction();
  const id = useId();
  const words = text.book;
  const chosen = name || classes[0];
  return (
    <form
      className="book-propose"
      onSubmit={(event) => {
        event.preventDefault();
        if (chosen) action.mutate({ kind: "propose", name: chosen, task: task.id, shows, note }, { onSuccess: done });
      }}
    >
      <select aria-label={words.what} value={shows} onChange={(event) => setShows(event.target.value as Example["shows"])}>
        <option value="is">{words.shows.is}</option>
        <option value="is_not">{words.shows.is_not}</option>
      </select>
      <select aria-label={words.className} value={chosen} onChange={(event) => setName(event.target.value)}>
        {classes.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </select>
      <label htmlFor={`${id}-note`}>{words.note}</label>
      <input id={`${id}-note`} maxLength={500} value={note} onChange={(event) => setNote(event.target.value)} />
      <span className="book-answer">
        <Button size="compact-sm" type="submit" color="dark" disabled={!chosen || action.isPending}>
          {words.save}
        </Button>
        <Button size="compact-sm" variant="default" onClick={done}>
          {words.cancel}
        </Button>
      </span>
      {action.error && <span role="alert" className="problem">{action.error.message}</span>}
    </form>
  );
}
