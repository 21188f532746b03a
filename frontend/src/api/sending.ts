import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, told } from "./client";
import { refreshEvery } from "./connection";
import type { components } from "./schema";

export type Address = components["schemas"]["AddressJson"];
export type Tombstone = components["schemas"]["Tombstone"];

/** How telling each address of `outbound.yaml` goes. */
export const useAddresses = () =>
  useQuery({ queryKey: ["outbound"], queryFn: async () => (await told(api.GET("/api/v1/outbound"))).items, refetchInterval: refreshEvery });

/** A person's word where an address does not take what it is told. */
export function useAddressAction(name: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (wish: { kind: "resume" } | { kind: "skip"; message: string; reason: string } | { kind: "forget" }) => {
      const params = { path: { name } };
      if (wish.kind === "resume") await told(api.POST("/api/v1/outbound/{name}/resume", { params }));
      else if (wish.kind === "skip") await told(api.POST("/api/v1/outbound/{name}/skip", { params, body: { message: wish.message, reason: wish.reason } }));
      else await told(api.DELETE("/api/v1/outbound/{name}", { params }));
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ["outbound"] }),
  });
}

/** What was erased, newest first. */
export const useErasures = () =>
  useQuery({ queryKey: ["erasures"], queryFn: async () => (await told(api.GET("/api/v1/erasures"))).items, refetchInterval: refreshEvery });

export type ErasureKind = "part" | "batch" | "customer" | "person";

/** Erases a part, or the parts of a batch or customer (a job), or a person's name (at once: the word that stands for it). */
export function useErase() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ kind, name, reason }: { kind: ErasureKind; name: string; reason: string }) => {
      if (kind === "person") return told(api.POST("/api/v1/erasures/person", { body: { name, reason } }));
      await told(api.POST("/api/v1/erasures", { body: { [kind]: name, reason } }));
      return null;
    },
    onSettled: () => Promise.all(["erasures", "jobs", "people"].map((key) => queries.invalidateQueries({ queryKey: [key] }))),
  });
}
