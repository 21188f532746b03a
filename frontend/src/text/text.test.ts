import { afterAll, expect, it, vi } from "vitest";
import { ago, clock, money, percent, showMm } from "../ui/format";
import { mm } from "../geometry/units";
import { de } from "./de";
import { en } from "./en";
import { es } from "./es";
import { text } from "./index";
import { type Language, localeFor, speak, wanted } from "./language";
import { admin as adminDe } from "./de/admin";
import { admin as adminEn } from "./en/admin";
import { admin as adminEs } from "./es/admin";
import { admin as adminZh } from "./zh/admin";
import { desk as deskDe } from "./de/desk";
import { desk as deskEn } from "./en/desk";
import { desk as deskEs } from "./es/desk";
import { desk as deskZh } from "./zh/desk";
import { floor as floorDe } from "./de/floor";
import { floor as floorEn } from "./en/floor";
import { floor as floorEs } from "./es/floor";
import { floor as floorZh } from "./zh/floor";
import { zh } from "./zh";

/** Without the settings' descriptions, which in English are the server's. */
const told = (admin: object): object => Object.fromEntries(Object.entries(admin).filter(([name]) => name !== "setting"));

const OTHERS = {
  de: { ...de, admin: told(adminDe), desk: deskDe, floor: floorDe },
  es: { ...es, admin: told(adminEs), desk: deskEs, floor: floorEs },
  zh: { ...zh, admin: told(adminZh), desk: deskZh, floor: floorZh },
};
const ENGLISH = { ...en, admin: adminEn, desk: deskEn, floor: floorEn };
const FORM = /_(zero|one|two|few|many|other)$/;

afterAll(() => speak("en"));

/** Every sentence by its path. */
const flat = (leaf: unknown, path = ""): [string, string][] =>
  typeof leaf === "string" ? [[path, leaf]] : Object.entries(leaf as object).flatMap(([name, one]) => flat(one, path ? `${path}.${name}` : name));

const base = (path: string): string => path.replace(FORM, "");
const places = (sentence: string): string[] => [...new Set(sentence.match(/\{\{\w+\}\}/g))].sort();

it.each(Object.entries(OTHERS))("%s says what English says, with the same places for values", (_, other) => {
  const english = new Map(flat(ENGLISH).map(([path, sentence]) => [base(path), sentence]));
  const others = flat(other);
  expect(new Set(others.map(([path]) => base(path)))).toEqual(new Set(english.keys()));
  for (const [path, sentence] of others) {
    expect([path, places(sentence)]).toEqual([path, places(english.get(base(path)) ?? "")]);
    expect(sentence.trim()).not.toBe("");
  }
});

it.each(Object.entries({ en: ENGLISH, ...OTHERS }))("%s has a form for every count that its rules tell apart, and no other", (name, dictionary) => {
  const rules = new Intl.PluralRules(name).resolvedOptions().pluralCategories.toSorted();
  const counted = flat(dictionary).map(([path]) => path).filter((path) => FORM.test(path));
  const sentences = new Set(counted.map(base));
  expect(sentences.size).toBeGreaterThan(5);
  for (const one of sentences) expect([one, counted.filter((path) => base(path) === one).map((path) => FORM.exec(path)?.[1]).toSorted()]).toEqual([one, rules]);
});

it("the language kept comes first, then the first that the browser asks for, then English", () => {
  expect([wanted(null, ["fr-CH", "de-CH", "en"]), wanted("es", ["de"]), wanted("xx", ["zh-TW"]), wanted(null, ["fr"])]).toEqual(["de", "es", "zh", "en"]);
});

it("figures are written as in the reader's country, where the browser names one", () => {
  expect([localeFor("de", ["en-US", "de-CH"]), localeFor("en", ["de-DE"]), localeFor("es", ["es"])]).toEqual(["de-CH", "en-GB", "es"]);
});

const NOW = Date.parse("2026-11-21T12:00:00Z");
const spaces = (sentence: string): string => sentence.replace(/[\u00a0\u202f]/g, " ").replace("\u2060", "");
const said = async (language: Language) => {
  vi.stubGlobal("navigator", { languages: [] }); // a browser that names no country; Node names that of its machine
  await speak(language);
  vi.unstubAllGlobals();
  const words = [text.verdict.ng, text.process.partCount({ count: 1 }), text.process.partCount({ count: 12345 }), text.inspect.reasons.ok[0], text.inspect.keys[6][0]];
  const figures = [percent(0.994), money(12400.4, "EUR"), money(-3.5, "EUR"), showMm(mm(1.5)), ago("2026-11-21T11:48:00Z", NOW)];
  return [...words, ...figures].map(spaces);
};

it("one object speaks the language chosen, numbers, money, lengths and times with it", async () => {
  expect(await said("en")).toEqual(["Not good", "1 part", "12,345 parts", "Dirt, wipes off", "1 … 9", "99.4%", "€12,400", "−€3.50", "1.50 mm", "12 min ago"]);
  expect(await said("de")).toEqual(["n. i. O.", "1 Teil", "12.345 Teile", "Schmutz, abwischbar", "1 … 9", "99,4 %", "12.400 €", "−3,50 €", "1,50 mm", "vor 12 Min."]);
  expect(await said("es")).toEqual(["No OK", "1 pieza", "12.345 piezas", "Suciedad, se limpia", "1 … 9", "99,4 %", "12.400 €", "−3,50 €", "1,50 mm", "hace 12 min"]);
  expect(await said("zh")).toEqual(["不合格", "1 个零件", "12,345 个零件", "污渍，可擦除", "1 … 9", "99.4%", "€12,400", "−€3.50", "1.50毫米", "12分钟前"]);
  expect(clock("2026-11-21T12:00:00Z")).toMatch(/^\d\d:00:00$/);
});
