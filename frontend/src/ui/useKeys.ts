import { useEffect, useRef } from "react";

/** Called with each press, by the name of the key (see `nameOf`).*/
export type Keys = Record<string, (event: KeyboardEvent) => void>;

const TYPING = "input:not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable]";

/** The name of a press: `a`, `Shift+n`, `ArrowDown`, `?`. Letters in lower case, so that caps lock does not matter. */
export function nameOf(event: Pick<KeyboardEvent, "key" | "shiftKey">): string {
  const letter = event.key.length === 1 && /[a-z]/i.test(event.key);
  return letter ? `${event.shiftKey ? "Shift+" : ""}${event.key.toLowerCase()}` : event.key;
}

/** One-key commands of a page. Silent while somebody types, with Ctrl, Alt or Meta, and while a dialog is open. */
export function useKeys(down: Keys, up: Keys = {}): void {
  const latest = useRef({ down, up });
  latest.current = { down, up };
  useEffect(() => {
    const busy = (event: KeyboardEvent) =>
      event.ctrlKey || event.altKey || event.metaKey || (event.target instanceof Element && event.target.matches(TYPING)) ||
      document.querySelector("[role=dialog]") !== null;
    const press = (event: KeyboardEvent) => {
      if (busy(event)) return;
      const run = latest.current.down[nameOf(event)];
      if (!run) return;
      event.preventDefault();
      run(event);
    };
    const release = (event: KeyboardEvent) => latest.current.up[nameOf({ key: event.key, shiftKey: false })]?.(event);
    window.addEventListener("keydown", press);
    window.addEventListener("keyup", release);
    return () => {
      window.removeEventListener("keydown", press);
      window.removeEventListener("keyup", release);
    };
  }, []);
}
