import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, told } from "./client";
import { refreshEvery } from "./connection";
import type { components } from "./schema";

export type Recipe = components["schemas"]["RecipeJson"];
export type Proposal = components["schemas"]["ProposalJson"];
export type Trial = components["schemas"]["TrialJson"];

/** While a search runs its bar moves; so often, in ms, it is asked how far it is. */
const WATCH_MS = 1_000;

export const isLooking = (recipe: Recipe | undefined): boolean => recipe?.job?.state === "waiting" || recipe?.job?.state === "running";

export const useRecipe = (name: string) =>
  useQuery({
    queryKey: ["recipe", name],
    queryFn: () => told(api.GET("/api/v1/processes/{name}/recipe", { params: { path: { name } } })),
    refetchInterval: (query) => (isLooking(query.state.data) ? WATCH_MS : refreshEvery()),
  });

const of = (name: string) => ({ params: { path: { name } } });

/** Look for better settings, open a trial, or close one. */
export function useRecipeChange(name: string) {
  const queries = useQueryClient();
  const again = { onSettled: () => queries.invalidateQueries({ queryKey: ["recipe", name] }) };
  return {
    look: useMutation({ mutationFn: (body: { parts: number; later: number; count: number }) => told(api.POST("/api/v1/processes/{name}/recipe", { ...of(name), body })), ...again }),
    open: useMutation({ mutationFn: (settings: Record<string, number>) => told(api.POST("/api/v1/processes/{name}/recipe/trials", { ...of(name), body: { settings } })), ...again }),
    end: useMutation({
      mutationFn: ({ number, how }: { number: number; how: "told" | "called off" }) =>
        told(api.POST("/api/v1/processes/{name}/recipe/trials/{number}/end", { params: { path: { name, number } }, body: { how } })),
      ...again,
    }),
  };
}
