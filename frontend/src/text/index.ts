import i18next from "i18next";
import type { English, Leaves, Text } from "./dictionary";
import { station } from "./en/station";
import "./language"; // sets i18next up

/** What a language has one form for, another has three: to its user it is one sentence. */
const FORM = /_(one|other)$/;

/** An object that answers in the language spoken at the moment: `text.inspect.follow`, `text.alarms.more({ count })`. */
export function told(leaves: { readonly [name: string]: Leaves }, path: string): object {
  const found = {};
  for (const [name, leaf] of Object.entries(leaves)) {
    const base = name.replace(FORM, "");
    const key = `${path}${base}`;
    if (typeof leaf !== "string" && !Array.isArray(leaf)) {
      Object.defineProperty(found, base, { enumerable: true, value: told(leaf as { readonly [name: string]: Leaves }, `${key}.`) });
      continue;
    }
    const get = Array.isArray(leaf)
      ? () => i18next.t(key, { returnObjects: true })
      : (leaf as string).includes("{{")
        ? () => (values: Record<string, string | number>) => i18next.t(key, values)
        : () => i18next.t(key);
    Object.defineProperty(found, base, { enumerable: true, configurable: true, get });
  }
  return found;
}

/** Every sentence the pages say, in the reader's language; those of the office are there once `office.ts` is. */
export const text = told(station, "") as Text<English>;
