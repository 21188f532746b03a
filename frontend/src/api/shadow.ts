import { useQuery } from "@tanstack/react-query";
import { api, ApiError, told } from "./client";
import { refreshEvery } from "./connection";

/** How often to ask while somebody looks, in ms: what a challenger says comes after the part's event, and has none itself. */
const ASK_MS = 5_000;

/** Where the challenger stands beside the champion; null: no model looks on. */
export const useStanding = () =>
  useQuery({
    queryKey: ["shadow", "standing"],
    queryFn: async () => {
      try {
        return await told(api.GET("/api/v1/models/shadow"));
      } catch (error) {
        if (error instanceof ApiError && error.status === 409) return null;
        throw error;
      }
    },
    refetchInterval: ASK_MS,
  });

/** Parts on which the two disagree, newest first; `unanswered`: only those that still lack a person's word. */
export const useDisagreements = (unanswered: boolean) =>
  useQuery({
    queryKey: ["shadow", "disagreements", unanswered],
    queryFn: () => told(api.GET("/api/v1/models/shadow/disagreements", { params: { query: { unanswered, limit: 200 } } })),
    refetchInterval: ASK_MS,
  });

/** How every component is, among them the model that serves and what computes it. */
export const useHealth = () =>
  useQuery({ queryKey: ["health"], queryFn: () => told(api.GET("/api/v1/health")), refetchInterval: refreshEvery });
