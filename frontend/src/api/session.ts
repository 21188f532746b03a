import { type QueryClient, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, ApiError, told } from "./client";
import type { Who } from "./words";

/** Who is logged in; null for nobody. */
export const useSession = () =>
  useQuery({
    queryKey: ["session"],
    queryFn: async () => {
      try {
        return await told(api.GET("/api/v1/session"));
      } catch (error) {
        if (error instanceof ApiError && error.status === 401) return null;
        throw error;
      }
    },
    staleTime: 60_000,
  });

/** May who is logged in answer for cameras, labels and models? Decides what is offered; the server decides what is done. */
export function useIsEngineer(): boolean {
  const role = useSession().data?.role;
  return role === "engineer" || role === "admin";
}

/** How one may log in; where nobody knows, with a password. */
export const useWaysIn = () =>
  useQuery({ queryKey: ["session", "ways"], queryFn: () => told(api.GET("/api/v1/session/ways")), staleTime: 60_000 });

/** Somebody else is here now: what the one before saw is forgotten. */
function become(queries: QueryClient, who: Who | null): void {
  queries.removeQueries({ predicate: (query) => query.queryKey[0] !== "session" });
  queries.setQueryData(["session"], who);
}

export function useLogIn() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { name: string; password: string }) => told(api.POST("/api/v1/session", { body })),
    onSuccess: (who) => become(queries, who),
  });
}

/** One's own; every log-in of the account ends, this one as well. */
export function useNewPassword() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { old: string; new: string }) => told(api.POST("/api/v1/session/password", { body })),
    onSuccess: () => become(queries, null),
  });
}

export function useLogOut() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => told(api.DELETE("/api/v1/session")),
    onSuccess: () => become(queries, null),
  });
}
