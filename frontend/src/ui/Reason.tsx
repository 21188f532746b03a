import { Button, TextInput } from "@mantine/core";
import { useState } from "react";
import { text } from "../text";

type Answer = "ok" | "ng";

/** Why a part is good or not: one of four usual reasons by one key, or own words. */
export function Reason(props: { word: Answer; send: (reason: string) => void; cancel: () => void; sending: boolean }) {
  const [own, setOwn] = useState("");
  const choices = text.inspect.reasons[props.word];
  return (
    <form
      className="reason"
      onSubmit={(event) => {
        event.preventDefault();
        if (own.trim()) props.send(own.trim());
      }}
      onKeyDown={(event) => {
        if (event.key === "Escape") props.cancel();
        const choice = choices[Number(event.key) - 1];
        if (choice && !own) {
          event.preventDefault();
          props.send(choice);
        }
      }}
    >
      <h3>{text.inspect.reasonTitle[props.word]}</h3>
      {choices.map((choice, place) => (
        <Button key={choice} variant="default" size="sm" px="xs" justify="space-between" disabled={props.sending}
          rightSection={<kbd>{place + 1}</kbd>} onClick={() => props.send(choice)}>
          {choice}
        </Button>
      ))}
      <TextInput aria-label={text.inspect.reasonOther} placeholder={text.inspect.reasonOther} value={own} maxLength={500}
        onChange={(event) => setOwn(event.currentTarget.value)} data-autofocus autoFocus />
      <div className="reason-buttons">
        <Button type="submit" size="sm" color="dark" disabled={!own.trim() || props.sending}>
          {props.sending ? text.inspect.sending : text.inspect.send}
        </Button>
        <Button size="sm" variant="subtle" color="gray" onClick={props.cancel}>
          {text.inspect.cancel}
        </Button>
      </div>
    </form>
  );
}
