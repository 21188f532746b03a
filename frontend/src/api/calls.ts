import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, told } from "./client";
import { refreshEvery } from "./connection";
import { newId } from "./outbox";
import { useSession } from "./session";

/** May who is logged in answer those who are unsure? The server decides what is done. */
export function useLeads(): boolean {
  return ["leader", "engineer", "admin"].includes(useSession().data?.role ?? "");
}

/** Calls to the team leader: open ones first, those due soonest on top. */
export const useCalls = (onlyOpen: boolean) =>
  useQuery({
    queryKey: ["calls", onlyOpen],
    queryFn: () => told(api.GET("/api/v1/calls", { params: { query: { only_open: onlyOpen } } })),
    refetchInterval: refreshEvery,
  });

/** The team leader's word; asked for again after an answer that was lost, it is the same word. */
export function useAnswerCall() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, verdict, reason }: { id: string; verdict: "ok" | "ng"; reason: string }) =>
      told(api.POST("/api/v1/calls/{id}/answer", { params: { path: { id } }, body: { verdict, reason, id: newId() } })),
    onSettled: () => {
      for (const key of ["calls", "inspection", "inspections"]) void queries.invalidateQueries({ queryKey: [key] });
    },
  });
}
