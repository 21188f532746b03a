/**
 * The server writes its sentences in English, and stores many of them. Each has a code: its name in `en.json`, where its English
 * stands with `{places}` for what differs. A sentence is found by that, and said again in another language by the same code.
 * A place whose name begins with `said` holds a sentence itself. Sentences joined by `; ` are found one by one. Pure.
 */
export type Sentences = Readonly<Record<string, string>>;
type Known = { code: string; names: string[]; pattern: RegExp; /** So few letters of its own that it would fit what it does not mean. */ short: boolean };
type Read = { text: string; whole: boolean };

const SHORT = 10;
const PLACE = /\{(\w+)\}/g;
const JOINED = "; ";
/** A value is no two sentences. */
const VALUE = "((?:(?!; ).)+?)";

/** English as patterns, the most particular (with most fixed letters) first. */
export function compiled(english: Sentences): Known[] {
  const fixed = (sentence: string): number => sentence.replace(PLACE, "").length;
  return Object.entries(english)
    .toSorted(([, a], [, b]) => fixed(b) - fixed(a))
    .map(([code, sentence]) => {
      const names = [...sentence.matchAll(PLACE)].map((found) => found[1] ?? "");
      const pieces = sentence.split(PLACE).map((piece, n) => (n % 2 === 0 ? piece.replace(/[.*+?^${}()|[\]\\]/g, "\\$&") : piece.startsWith("said") ? "(.+?)" : VALUE));
      return { code, names, pattern: new RegExp(`^${pieces.join("")}$`, "s"), short: fixed(sentence) < SHORT };
    });
}

/** A sentence in another language; null where nobody knows it. A short one counts within a sentence, or where it holds known ones. */
function one(sentence: string, known: readonly Known[], other: Sentences, within: boolean): Read | null {
  for (const { code, names, pattern, short } of known) {
    const found = pattern.exec(sentence);
    const told = other[code];
    if (!found || told === undefined) continue;
    const values = names.map((name, n): Read => (name.startsWith("said") ? read(found[n + 1] ?? "", known, other, true) : { text: found[n + 1] ?? "", whole: true }));
    const whole = values.every((value) => value.whole);
    if (short && !(whole && (within || names.some((name) => name.startsWith("said"))))) continue;
    return { text: told.replace(PLACE, (_, name: string) => values[names.indexOf(name)]?.text ?? ""), whole };
  }
  return null;
}

/** What the server said, in another language as far as it is known; `whole`: nothing of it stayed English. */
export function read(sentence: string, known: readonly Known[], other: Sentences, within = false): Read {
  const pieces = sentence.split(JOINED);
  const told: string[] = [];
  let whole = true;
  for (let from = 0; from < pieces.length; ) {
    let to = pieces.length;
    let found: Read | null = null;
    for (; to > from && found === null; to -= 1) found = one(pieces.slice(from, to).join(JOINED), known, other, within);
    whole &&= found?.whole ?? false;
    told.push(found?.text ?? pieces[from] ?? "");
    from = found === null ? from + 1 : to + 1;
  }
  return { text: told.join(JOINED), whole };
}
