import i18next, { type FormatterModule } from "i18next";
import { useSyncExternalStore } from "react";
import type { Leaves, Part } from "./dictionary";
import { station } from "./en/station";

/** Languages by their own names, so that everybody finds the own one. */
export const LANGUAGES = { en: "English", de: "Deutsch", es: "Español", zh: "简体中文" } as const;
export type Language = keyof typeof LANGUAGES;

/** What the browser is told of the language of the page (BCP 47); Chinese has two scripts. */
const TAG: Record<Language, string> = { en: "en", de: "de", es: "es", zh: "zh-Hans" };

/** English is always there: what another language lacks is said in it. The others come when they are chosen. */
const LOAD: Record<Exclude<Language, "en">, () => Promise<Part<typeof station>>> = {
  de: async () => (await import("./de/station")).station,
  es: async () => (await import("./es/station")).station,
  zh: async () => (await import("./zh/station")).station,
};

/** Words of pages that not everybody opens: they come with the page, not before. */
type Chapter = { name: string; load: Record<Exclude<Language, "en">, () => Promise<{ readonly [name: string]: Leaves }>>; come: Set<Language> };
const chapters: Chapter[] = [];

async function fetchChapter(chapter: Chapter, spoken: Language): Promise<void> {
  if (spoken === "en" || chapter.come.has(spoken)) return;
  i18next.addResourceBundle(spoken, "translation", under(chapter.name, await chapter.load[spoken]()), true);
  chapter.come.add(spoken);
}

const under = (name: string, words: object): object => (name ? { [name]: words } : words);

/** Have a chapter's words in the language spoken, and in each that is spoken from now on; without a name they stand beside the first ones. */
export async function open(name: string, english: { readonly [name: string]: Leaves }, load: Chapter["load"]): Promise<void> {
  const chapter: Chapter = { name, load, come: new Set() };
  i18next.addResourceBundle("en", "translation", under(name, english), true);
  chapters.push(chapter);
  await fetchChapter(chapter, language());
}

const KEPT_AS = "language";
const listeners = new Set<() => void>();
let region = "en-GB";
let drawn = 0;

/** Every number in a sentence is written as the reader's country writes it. */
const figures: FormatterModule = {
  type: "formatter",
  init: () => undefined,
  add: () => undefined,
  addCached: () => undefined,
  format: (value: unknown) => (typeof value === "number" ? new Intl.NumberFormat(region).format(value) : String(value)),
};

void i18next.use(figures).init({
  lng: "en",
  fallbackLng: "en",
  resources: { en: { translation: station } },
  initAsync: false,
  nsSeparator: false,
  interpolation: { escapeValue: false, alwaysFormat: true }, // React escapes
});

export const language = (): Language => i18next.language as Language;

/** How numbers and dates are written: the chosen language, in the reader's country where the browser names one. */
export const locale = (): string => region;

const spoken = (tag: string): Language | undefined => (Object.keys(LANGUAGES) as Language[]).find((one) => tag.toLowerCase().split("-")[0] === one);

/** The language to begin with: the one chosen on this browser before, else the first the browser asks for that there is. */
export function wanted(kept: string | null, asked: readonly string[]): Language {
  return spoken(kept ?? "") ?? asked.map(spoken).find((one) => one !== undefined) ?? "en";
}

/** The locale for figures: of the browser's own that speak the language the first, so that a Swiss reader gets Swiss figures. */
export const localeFor = (chosen: Language, asked: readonly string[]): string =>
  asked.find((tag) => spoken(tag) === chosen && tag.includes("-")) ?? (chosen === "en" ? "en-GB" : chosen === "zh" ? "zh-CN" : chosen);

/** Speak a language from now on. Where its words cannot be fetched, the pages keep the one they have. */
export async function speak(chosen: Language): Promise<void> {
  if (chosen !== "en" && !i18next.hasResourceBundle(chosen, "translation")) i18next.addResourceBundle(chosen, "translation", await LOAD[chosen]());
  await Promise.all(chapters.map((chapter) => fetchChapter(chapter, chosen)));
  region = localeFor(chosen, typeof navigator === "undefined" ? [] : navigator.languages);
  await i18next.changeLanguage(chosen);
  if (typeof document !== "undefined") {
    document.documentElement.lang = TAG[chosen];
    document.title = i18next.t("product");
  }
  drawAnew();
}

function drawAnew(): void {
  drawn += 1;
  for (const listener of listeners) listener();
}

/** What is said has become more, as the server's own sentences come after the pages': draw it. */
export const toldMore = (coming: Promise<void>): void => void coming.then(drawAnew, () => undefined);

/** Choose a language for this browser. */
export async function choose(chosen: Language): Promise<void> {
  await speak(chosen);
  localStorage.setItem(KEPT_AS, chosen);
}

/** Speak what this browser wants, before anything is drawn; English where its words cannot be fetched. */
export async function begin(): Promise<void> {
  await speak(wanted(localStorage.getItem(KEPT_AS), navigator.languages)).catch(() => speak("en"));
}

const watch = (tell: () => void) => {
  listeners.add(tell);
  return () => listeners.delete(tell);
};

/** The language spoken. Whoever uses it at the top is drawn anew when it changes, with all below. */
export function useLanguage(): Language {
  useSyncExternalStore(watch, () => drawn);
  return language();
}
