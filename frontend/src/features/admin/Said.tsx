import { words } from "./words";

/** How a change ended, told to eyes and readers alike. */
export function Said({ of }: { of: { error: Error | null; isSuccess: boolean } }) {
  if (of.error) {
    return (
      <p role="alert" className="problem">
        {of.error.message}
      </p>
    );
  }
  return of.isSuccess ? <p role="status">{words.saved}</p> : null;
}
