import type { CameraFault, Inspection } from "../../api/words";
import { text } from "../../text";

/** An image whose camera is at fault. */
export type Faulty = { n: number; view: string; fault: CameraFault };

/** The images of a part whose camera is at fault; none: whatever is said about the part is about the part. */
export const faultsOf = (inspection: Pick<Inspection, "images">): Faulty[] =>
  inspection.images.flatMap(({ n, view, camera_fault: fault }) =>
    fault ? [{ n, view: view || text.everywhere.view({ n: n + 1 }), fault: fault as CameraFault }] : [],
  );

/** Faults that a camera which was set up anew shows as well: a person may say that this is how it looks now. */
const MAY_BE_MEANT: readonly CameraFault[] = ["blurred", "exposure", "shifted", "dirty"];

export const mayBeMeant = (faults: readonly Faulty[]): Faulty[] => faults.filter(({ fault }) => MAY_BE_MEANT.includes(fault));
