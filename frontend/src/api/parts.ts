import { useQuery } from "@tanstack/react-query";
import { api, told } from "./client";
import type { components } from "./schema";

export type Part = components["schemas"]["PartOut"];

/**
 * A part from all of its views. `seen` is its inspection on screen: with another one the answer may be another. Laying
 * pictures on each other takes the server a second each, so it is asked only while somebody looks.
 */
export const usePart = (part: string, seen: string, wanted: boolean) =>
  useQuery({
    enabled: wanted,
    queryKey: ["part", part, seen],
    queryFn: () => told(api.GET("/api/v1/parts/{part}", { params: { path: { part } } })),
    staleTime: 10_000,
  });
