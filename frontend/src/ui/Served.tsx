import { served } from "../text/said";

/** What the server said, in the reader's language where it is known; what stays English is marked so for readers aloud. */
export function Served({ text }: { text: string }) {
  const told = served(text);
  return <span lang={told.whole ? undefined : "en"}>{told.text}</span>;
}
