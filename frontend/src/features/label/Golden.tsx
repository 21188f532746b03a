import { Button } from "@mantine/core";
import { useMakeGolden } from "../../api/learning";
import type { LabelTask } from "../../api/words";
import { text } from "../../text";

/** Whether this task's drawing is the truth that people are compared with, and the way to make it so. */
export function Golden({ task }: { task: LabelTask }) {
  const make = useMakeGolden();
  const words = text.label;
  return (
    <div>
      {task.golden ? (
        <span className="badge">{words.golden}</span>
      ) : (
        <Button size="compact-xs" variant="default" title={words.makeGoldenHelp} disabled={make.isPending} onClick={() => make.mutate(task.id)}>
          {words.makeGolden}
        </Button>
      )}
      {make.data && <p className="quiet">{make.data.in_studio ? words.goldenSaid : words.goldenLater}</p>}
      {make.error && (
        <p role="alert" className="problem">
          {make.error.message}
        </p>
      )}
    </div>
  );
}
