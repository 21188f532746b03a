import { useQuery } from "@tanstack/react-query";
import { api, ApiError, told } from "./client";
import { refreshEvery } from "./connection";

/** How often to ask while somebody looks, in ms: what a challenger says comes after the part's event, and has none itself. */
const ASK_MS = 5_000;

/** A product, a station, or a product at a station with a champion of its own; both empty: everywhere else. */
export type Where = Readonly<{ product: string; station: string }>;
export const EVERYWHERE: Where = { product: "", station: "" };

/** Where the challenger of there stands beside its champion; null: no model looks on. */
export const useStanding = ({ product, station }: Where, enabled = true) =>
  useQuery({
    queryKey: ["shadow", "standing", product, station],
    enabled,
    queryFn: async () => {
      try {
        return await told(api.GET("/api/v1/models/shadow", { params: { query: { product, station } } }));
      } catch (error) {
        if (error instanceof ApiError && error.status === 409) return null;
        throw error;
      }
    },
    refetchInterval: ASK_MS,
  });

/** Parts on which the two of there disagree, newest first; `unanswered`: only those that still lack a person's word. */
export const useDisagreements = ({ product, station }: Where, unanswered: boolean) =>
  useQuery({
    queryKey: ["shadow", "disagreements", product, station, unanswered],
    queryFn: () => told(api.GET("/api/v1/models/shadow/disagreements", { params: { query: { product, station, unanswered, limit: 200 } } })),
    refetchInterval: ASK_MS,
  });

/** How every component is, among them the model that serves and what computes it. */
export const useHealth = () =>
  useQuery({ queryKey: ["health"], queryFn: () => told(api.GET("/api/v1/health")), refetchInterval: refreshEvery });
