/** Where somebody stands in the guide. Pure. */

type Step = { readonly name: string; readonly done: boolean; readonly optional: boolean };

/** The first step that must still be done; none: the guide is done. */
export const nextOf = <S extends Step>(steps: readonly S[]): S | undefined => steps.find((step) => !step.done && !step.optional);

/** How many of the steps that must be done are. */
export function progressOf(steps: readonly Step[]): { done: number; all: number } {
  const needed = steps.filter((step) => !step.optional);
  return { done: needed.filter((step) => step.done).length, all: needed.length };
}
