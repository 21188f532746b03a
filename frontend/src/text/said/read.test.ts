import { expect, it } from "vitest";
import de from "./de.json";
import en from "./en.json";
import es from "./es.json";
import { compiled, read } from "./read";
import zh from "./zh.json";

const known = compiled(en);
const places = (sentence: string) => [...sentence.matchAll(/\{\w+\}/g)].map(([place]) => place).toSorted();
/** What a language may leave out: an example for programs that no reader of a page types. */
const german = (sentence: string) => read(sentence, known, de).text;

it.each(Object.entries({ de, es, zh }))("%s says every sentence of the server, with the same places", (_, other) => {
  expect(Object.keys(other)).toEqual(Object.keys(en));
  for (const [code, sentence] of Object.entries(other)) expect([code, places(sentence)]).toEqual([code, places(en[code as keyof typeof en])]);
});

it("every English sentence is found by its own code", () => {
  for (const [code, sentence] of Object.entries(en)) {
    if (/\{said_?\w*\}/.test(sentence)) continue; // holds others, which "7" is not
    const mark = { [code]: `<${code}>` };
    expect(read(sentence.replace(/\{\w+\}/g, "7"), known, { ...en, ...mark }, true).text).toContain(`<${code}>`);
  }
});

it("finds sentences within sentences and beside each other, and leaves what it does not know in English", () => {
  expect(german("camera fault: left: the picture is blurred (3.1 times less fine detail than usual); check focus and vibration; right: the picture is the very one of the part before; check camera and trigger")).toBe(
    "Kamerafehler: left: das Bild ist unscharf (3.1-mal weniger feine Einzelheiten als üblich); Schärfe und Erschütterungen prüfen; right: das Bild ist genau das des vorigen Teils; Kamera und Auslöser prüfen",
  );
  expect(read("warning: no part of train shows pit: it is not learnt; something new", known, de)).toEqual({ text: "Warnung: kein Teil von train zeigt pit: das wird nicht gelernt; something new", whole: false });
  expect(german("Lamp replaced: yes")).toBe("Lamp replaced: yes");
});

it("says a question about a label with the way that a drawing should go", () => {
  expect(german("Does the pit drawn at (3, 4) belong 12 px to the right and 7 px down?")).toBe("Gehört der bei (3, 4) gezeichnete Fehler pit 12 px weiter nach rechts und 7 px tiefer?");
  expect(german("Does the pit drawn at (3, 4) belong 7 px up?")).toBe("Gehört der bei (3, 4) gezeichnete Fehler pit 7 px höher?");
  expect(german("Is the defect of P-1 a pit or dent? 1 of 3 pictures say otherwise than the rest.")).toBe("Ist der Fehler von P-1 von der Klasse pit oder dent? 1 von 3 Bildern sagen anderes als die übrigen.");
});
