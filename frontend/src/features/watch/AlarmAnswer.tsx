import { Button, TextInput } from "@mantine/core";
import { useState } from "react";
import { useAlarmAction } from "../../api/watching";
import type { Alarm } from "../../api/words";
import { text } from "../../text";
import { viewOf } from "./around";

/** What a person says to an alarm: it was put right (with a reason), or this is how it is from now on. */
export function AlarmAnswer({ alarm }: { alarm: Alarm }) {
  const [reason, setReason] = useState("");
  const action = useAlarmAction();
  const words = text.alarms;
  const view = viewOf(alarm);
  const said = reason.trim();
  const closeWith = (relearn: boolean) => said && action.mutate({ kind: "close", id: alarm.id, reason: said, relearn });
  return (
    <form
      className="alarm-answer"
      onSubmit={(event) => {
        event.preventDefault();
        closeWith(false);
      }}
    >
      <TextInput label={words.reason} placeholder={words.reasonExample} value={reason} maxLength={500}
        onChange={(event) => setReason(event.currentTarget.value)} />
      <div className="reason-buttons">
        <Button type="submit" color="dark" disabled={!said || action.isPending}>
          {words.close}
        </Button>
        {view ? (
          <Button variant="default" disabled={action.isPending}
            onClick={() => action.mutate({ kind: "accept", station: alarm.station, view: view.name })}>
            {words.acceptCamera}
          </Button>
        ) : (
          <Button variant="default" disabled={!said || action.isPending} onClick={() => closeWith(true)}>
            {words.acceptRate}
          </Button>
        )}
      </div>
      <p className="quiet">{view ? words.acceptCameraHelp : words.acceptRateHelp}</p>
      {action.error && (
        <p role="alert" className="problem">
          <strong>{text.inspect.notStored}</strong> {action.error.message}
        </p>
      )}
    </form>
  );
}
