import type { Part } from "../dictionary";
import type { floor as en } from "../en/floor";

/** Was die Seite des Teamleiters und das Wandbild sagen. */
export const floor: Part<typeof en> = {
  calls: {
    title: "Rufe von den Stationen",
    none: "Niemand ist unsicher",
    noneHelp: "Sobald jemand an einer Station ruft, steht es hier mit der Zeit, die bleibt.",
    bar: "Jemand ist unsicher",
    unsure: "{{by}} ist unsicher",
    answer: "Antworten",
    ok: "Ist i. O.",
    ng: "Ist n. i. O.",
    look: "Teil ansehen",
    otherwise: { ng: "dann gilt es als n. i. O.", review: "dann bleibt es ausgesondert" },
    past: "Früher",
    state: { open: "offen", answered: "{{verdict}}, sagt {{by}}", withdrawn: "zurückgenommen", expired: "niemand kam: {{verdict}}" },
  },
  wall: {
    back: "Prüfen",
    others: "Stationen",
    state: { fault: "Kamerafehler", call: "Ruf", alarm: "Alarm", running: "Läuft", quiet: "Keine Teile", never: "Noch nichts" },
    hour: "Teile in der letzten Stunde",
    bad: "n. i. O.",
    review: "zu prüfen",
    last: "letztes Teil {{ago}}",
    mode: { shadow: "sieht nur zu", advise: "rät nur" },
    trend: "Anteil nicht i. O., Gruppen zu {{size}}",
    trendIs: "Anteil nicht i. O. in Gruppen zu {{size}} Teilen: jetzt {{now}}, üblich {{usual}}, Grenzen {{lower}} bis {{upper}}",
    limit: "Grenze {{limit}}",
    usual: "üblich {{usual}}",
    learning: "Lernt, was üblich ist: {{n}} von {{all}} Teilen",
    filling: "Die erste Gruppe ist noch nicht voll",
    camera: "{{view}}: {{fault}}",
    more_one: "{{count}} weiterer",
    more_other: "{{count}} weitere",
    calls: "Warten auf den Teamleiter",
    old: "Nicht live: Zahlen können alt sein",
    empty: "Noch hat keine Station ein Teil gesendet",
  },
};
