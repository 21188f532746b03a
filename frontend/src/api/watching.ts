import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, told } from "./client";
import { refreshEvery } from "./connection";

/** Alarms that nobody has closed, newest first. */
export const useAlarms = () =>
  useQuery({
    queryKey: ["alarms"],
    queryFn: () => told(api.GET("/api/v1/alarms", { params: { query: { only_open: true } } })),
    refetchInterval: refreshEvery,
  });

/** close: somebody has seen to it, or (`relearn`) it is right as it is; accept: a camera's pictures are
 * right as they are; without a name of its view, those of all cameras of the station. */
export type AlarmWish =
  | { kind: "close"; id: string; reason: string; relearn: boolean }
  | { kind: "accept"; station: string; view: string };

/** A person's word on an alarm or a camera. The server's answer is what the page shows. */
export function useAlarmAction() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (wish: AlarmWish) => {
      if (wish.kind === "close") {
        const { id, reason, relearn } = wish;
        await told(api.POST("/api/v1/alarms/{id}/close", { params: { path: { id } }, body: { reason, relearn } }));
      } else {
        const { station, view } = wish;
        await told(api.POST("/api/v1/cameras/{station}/accept", { params: { path: { station }, query: view ? { view } : {} } }));
      }
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ["alarms"] }),
  });
}
