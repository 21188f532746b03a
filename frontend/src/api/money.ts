import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, told } from "./client";

/** What the inspection of a product brought in a month such as `2026-11`. */
export const useMoney = (product: string, month: string) =>
  useQuery({
    queryKey: ["money", product, month],
    queryFn: () => told(api.GET("/api/v1/money", { params: { query: { product, month } } })),
    enabled: product !== "",
  });

/** Where the same figures lie as a table for a spreadsheet. */
export const csvAddress = (product: string, month: string): string =>
  `/api/v1/money.csv?${new URLSearchParams({ product, month })}`;

/** What a station's verdicts may do, and what they have shown. */
export const useMode = (station: string) =>
  useQuery({
    queryKey: ["stations", station, "mode"],
    queryFn: () => told(api.GET("/api/v1/stations/{station}/mode", { params: { path: { station } } })),
  });

/** A named person lets the proved challenger serve, or declines it. */
export function useApproval() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: { approved: boolean; reason: string; product: string; station: string }) =>
      told(api.POST("/api/v1/models/shadow/approval", { body })),
    onSettled: () => Promise.all([client.invalidateQueries({ queryKey: ["shadow"] }), client.invalidateQueries({ queryKey: ["models"] })]),
  });
}
