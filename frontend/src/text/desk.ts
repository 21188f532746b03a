import type { Text } from "./dictionary";
import { desk } from "./en/desk";
import { told } from "./index";
import { open } from "./language";
import { ready as office } from "./office";

/** What the engineer's further pages, the records, the reports and the guide say, in the reader's language. */
export const words = told(desk, "desk.") as Text<typeof desk>;

/** Once the words are there in the language spoken; these pages speak the office's words, too. */
export const ready = Promise.all([
  office,
  open("desk", desk, {
    de: async () => (await import("./de/desk")).desk,
    es: async () => (await import("./es/desk")).desk,
    zh: async () => (await import("./zh/desk")).desk,
  }),
]);
