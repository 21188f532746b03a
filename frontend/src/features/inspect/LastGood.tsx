import { lazy, Suspense, useEffect, useState } from "react";
import type { Inspection } from "../../api/words";
import { text } from "../../text";
import { Dialog } from "../../ui/Dialog";
import { useKeys } from "../../ui/useKeys";

const Difference = lazy(async () => ({ default: (await import("./Difference")).Difference }));

type Props = { inspection: Inspection; /** Which image is compared. */ n: number; /** x, y, width, height of the chosen defect. */ defect: readonly number[] | null };

/** The way to the last good part beside this one. */
export function LastGood({ inspection, n, defect }: Props) {
  const [opened, setOpened] = useState(false);
  useEffect(() => setOpened(false), [inspection.id]);
  useKeys({ d: () => setOpened(true) });
  return (
    <>
      <button type="button" className="link part-views" onClick={() => setOpened(true)}>
        {text.inspect.lastGood} <kbd>D</kbd>
      </button>
      <Dialog opened={opened} onClose={() => setOpened(false)} size="96%" title={`${inspection.part}: ${text.inspect.lastGood}`} closeButtonProps={{ "aria-label": text.everywhere.close }}>
        <Suspense>{opened && <Difference inspection={inspection} n={n} defect={defect} />}</Suspense>
      </Dialog>
    </>
  );
}
