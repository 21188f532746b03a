import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, told } from "./client";
import type { components } from "./schema";

export type FirstRun = components["schemas"]["FirstRunJson"];
export type Step = FirstRun["steps"][number];

/** So often, in ms, it is asked whether a step was done meanwhile: by a camera, at the server, on another page. */
const LOOK_MS = 4_000;

/** How far the installation is; asked by administrators, and no more once nobody is led through it. */
export const useFirstRun = (wanted: boolean, always = false) =>
  useQuery({
    queryKey: ["first-run"],
    queryFn: () => told(api.GET("/api/v1/first-run")),
    enabled: wanted,
    refetchInterval: (query) => (always || query.state.data?.active ? LOOK_MS : false),
  });

/** Begin, leave or take up the guide, or say whose verdict was looked at. */
export function useGuide() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { begun?: boolean; left?: boolean; seen?: string }) => told(api.PATCH("/api/v1/first-run", { body })),
    onSuccess: (now) => queries.setQueryData(["first-run"], now),
  });
}

export type Pictures = { part: string; files: { file: File; view: string }[] };

/** Inspect a part from pictures that somebody chose. The same pictures again are another inspection. */
export async function inspect(station: string, product: string, { part, files }: Pictures) {
  const body = new FormData();
  body.set("part", part);
  body.set("station", station);
  if (product) body.set("product", product);
  for (const { file, view } of files) {
    body.append("image", file, file.name);
    body.append("view", view);
  }
  return told(api.POST("/api/v1/inspections", { body: body as never, bodySerializer: (form: unknown) => form as FormData }));
}
