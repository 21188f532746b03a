import { Button } from "@mantine/core";
import { useIsEngineer } from "../../api/session";
import { useAlarmAction } from "../../api/watching";
import type { Inspection } from "../../api/words";
import { text } from "../../text";
import { type Faulty, mayBeMeant } from "./faults";
import { Served } from "../../ui/Served";

/** In place of the verdict: a camera with a stroke through it, and the words. */
export function FaultMark() {
  return (
    <div className="fault-mark" role="group" aria-label={text.fault.title}>
      <FaultSign size={30} />
      <strong>{text.fault.title}</strong>
    </div>
  );
}

export function FaultSign({ size }: { size: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" className="mark">
      <path d="M2 6.5h4l2-2.5h8l2 2.5h4v13H2Z" fill="#fff" stroke="#1c2126" strokeWidth="1.8" strokeLinejoin="round" />
      <circle cx="12" cy="12.8" r="3.8" fill="none" stroke="#1c2126" strokeWidth="1.8" />
      <path d="M3 22 21 2" stroke="#fff" strokeWidth="5" />
      <path d="M3 22 21 2" stroke="#9c3f00" strokeWidth="2.6" />
    </svg>
  );
}

/** Why nothing is said about this part, in the words of the server, and what there is to do. */
export function FaultNotice({ inspection, faults }: { inspection: Inspection; faults: readonly Faulty[] }) {
  const may = useIsEngineer();
  const action = useAlarmAction();
  const words = text.fault;
  const meant = mayBeMeant(faults);
  return (
    <section className="fault" role="alert" aria-label={words.title}>
      <p className="fault-said">{words.said}</p>
      <p>
        <Served text={(inspection.problem ?? "").replace(/^camera fault: /, "")} />
      </p>
      {may && meant.length > 0 && (
        <div className="fault-accept">
          {action.isSuccess ? (
            <strong role="status">{words.accepted}</strong>
          ) : (
            meant.map(({ n, view }) => (
              <Button key={n} size="xs" variant="default" disabled={action.isPending}
                onClick={() => action.mutate({ kind: "accept", station: inspection.station, view: inspection.images[n]?.view ?? "" })}>
                {meant.length > 1 ? `${words.accept}: ${view}` : words.accept}
              </Button>
            ))
          )}
          <span className="quiet">{words.acceptHelp}</span>
          {action.error && <span className="problem">{action.error.message}</span>}
        </div>
      )}
    </section>
  );
}
