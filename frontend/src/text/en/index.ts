import { office } from "./office";
import { station } from "./station";

/** The reference: what is not here, no language says. Words of the domain as in qc/README.md. */
export const en = { ...station, ...office } as const;
