import { text } from "../../text";

/** `2 scratch, 1 pit`, or that nothing is drawn. */
export const counted = (drawn: Readonly<Record<string, number>>): string =>
  Object.entries(drawn).map(([name, count]) => `${count} ${name}`).join(", ") || text.disputes.nothing;
