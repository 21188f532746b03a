import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, told } from "./client";
import { refreshEvery } from "./connection";
import type { components } from "./schema";

type Schemas = components["schemas"];
export type BookPage = Schemas["PageJson"];
export type Example = Schemas["ExampleJson"];
export type Limit = Schemas["LimitJson"];
export type Dispute = Schemas["DisputeJson"];
export type Voice = Schemas["VoiceJson"];

export const useBook = () =>
  useQuery({ queryKey: ["label-book"], queryFn: () => told(api.GET("/api/v1/label-book")), refetchInterval: refreshEvery });

/** Read anew on the server from every drawing, so it is asked for seldom. */
export const useDisputes = () =>
  useQuery({ queryKey: ["label-disputes"], queryFn: () => told(api.GET("/api/v1/label-disputes")), staleTime: 30_000 });

/** What may be done with the book; lists follow. */
export type BookWish =
  | { kind: "write"; name: string; definition: string; limits: Limit[]; after: number }
  | { kind: "answer"; id: string; accept: boolean }
  | { kind: "propose"; name: string; task: string; shows: Example["shows"]; note: string }
  | { kind: "settle"; key: string; annotation: string | null; note: string; example: { class_name: string; shows: Example["shows"] } | null };

export function useBookAction() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async (wish: BookWish) => {
      if (wish.kind === "write") {
        const { name, definition, limits, after } = wish;
        await told(api.PUT("/api/v1/label-book/{class}", { params: { path: { class: name } }, body: { definition, limits, after } }));
      } else if (wish.kind === "answer") {
        await told(api.POST("/api/v1/label-examples/{id}/answer", { params: { path: { id: wish.id } }, body: { accept: wish.accept } }));
      } else if (wish.kind === "propose") {
        const body = { label_task: wish.task, shows: wish.shows, note: wish.note, n: 0 };
        await told(api.POST("/api/v1/label-book/{class}/examples", { params: { path: { class: wish.name } }, body }));
      } else {
        const body = { annotation: wish.annotation, note: wish.note, example: wish.example };
        await told(api.POST("/api/v1/label-disputes/{key}/settle", { params: { path: { key: wish.key } }, body }));
      }
    },
    onSettled: () => {
      for (const key of ["label-book", "label-disputes", "label-tasks"]) void queries.invalidateQueries({ queryKey: [key] });
    },
  });
}
