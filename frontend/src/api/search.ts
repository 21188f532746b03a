import { useQuery } from "@tanstack/react-query";
import { api, told } from "./client";
import type { components } from "./schema";

export type Hit = components["schemas"]["HitJson"];

/** What bears that name, or one that begins with it. */
export const useSearch = (asked: string) =>
  useQuery({
    queryKey: ["search", asked],
    queryFn: async () => (await told(api.GET("/api/v1/search", { params: { query: { q: asked } } }))).items,
    enabled: asked !== "",
  });
