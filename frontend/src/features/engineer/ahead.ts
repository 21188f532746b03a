import type { Advice, Process, Setting } from "../../api/words";

/** What may still be chosen for a part, and how a choice is told to the server. Pure. */

export type Wish = { settings: Record<string, number>; run: string[] };
export type Choice = { name: string; step: string; setting: Setting; known: boolean };

/** Optional steps that the part has not passed. */
export const optionalAhead = (process: Process, at: string): string[] => rest(process, at).filter((step) => step.optional).map((step) => step.name);

/** Settings of the steps still to come: those that the advice moves first, then those whose effect is known, then the others. */
export function choices(process: Process, advice: Pick<Advice, "at" | "settings">, unknown: readonly string[]): Choice[] {
  const found = rest(process, advice.at).flatMap((step) =>
    Object.entries(step.settings ?? {}).map(([own, setting]) => {
      const name = `${step.name}.${own}`;
      return { name, step: step.name, setting, known: !unknown.includes(name) };
    }),
  );
  const place = (choice: Choice) => (choice.name in advice.settings ? 0 : choice.known ? 1 : 2);
  return found.sort((a, b) => place(a) - place(b));
}

/** Only what leaves its nominal value, and only of steps that are run: naming a setting of an optional step would run it. */
export function asWish(process: Process, settings: Readonly<Record<string, number>>, run: readonly string[]): Wish {
  const named = process.steps
    .filter((step) => !step.optional || run.includes(step.name))
    .flatMap((step) => Object.entries(step.settings ?? {}).map(([own, setting]) => [`${step.name}.${own}`, setting.nominal] as const));
  const moved = named.flatMap(([name, nominal]) => {
    const value = settings[name];
    return value === undefined || value === nominal ? [] : [[name, value] as const];
  });
  return { settings: Object.fromEntries(moved), run: [...run] };
}

function rest(process: Process, at: string) {
  const now = process.steps.findIndex((step) => step.name === at);
  return now < 0 ? [] : process.steps.slice(now);
}
