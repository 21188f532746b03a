import { useQuery } from "@tanstack/react-query";
import { api, told } from "./client";

/** A wall screen shows nothing older than so many ms; calls and alarms come at once, by their events. */
const FRESH_MS = 2_000;

export const useWall = () => useQuery({ queryKey: ["wall"], queryFn: () => told(api.GET("/api/v1/wall")), refetchInterval: FRESH_MS, staleTime: 500 });
