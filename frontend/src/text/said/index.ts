import { language } from "../language";
import { compiled, read, type Sentences } from "./read";

type Other = "de" | "es" | "zh";
const LOAD: Record<Other, () => Promise<{ default: Sentences }>> = {
  de: () => import("./de.json"),
  es: () => import("./es.json"),
  zh: () => import("./zh.json"),
};

let known: ReturnType<typeof compiled> = [];
const come: Partial<Record<string, Sentences>> = {};

/** Have the server's sentences in a language; nothing to do for English, in which the server speaks. */
export async function fetchSaid(spoken: string): Promise<void> {
  if (spoken === "en" || come[spoken]) return;
  const [english, other] = await Promise.all([import("./en.json"), LOAD[spoken as Other]()]);
  known = compiled(english.default);
  come[spoken] = other.default;
}

/** What the server said, in the reader's language as far as it is known, else as it came. */
export function served(sentence: string): { text: string; whole: boolean } {
  const other = come[language()];
  return other ? read(sentence, known, other) : { text: sentence, whole: language() === "en" };
}
