import type { Text } from "./dictionary";
import { floor } from "./en/floor";
import { told } from "./index";
import { open } from "./language";

/** What the team leader's page and the wall screen say, in the reader's language. */
export const words = told(floor, "floor.") as Text<typeof floor>;

/** Once the words are there in the language spoken. */
export const ready = open("floor", floor, {
  de: async () => (await import("./de/floor")).floor,
  es: async () => (await import("./es/floor")).floor,
  zh: async () => (await import("./zh/floor")).floor,
});
