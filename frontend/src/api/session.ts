import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, ApiError, told } from "./client";

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

export function useLogIn() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: { name: string; password: string }) => told(api.POST("/api/v1/session", { body })),
    onSuccess: (who) => {
      queries.clear();
      queries.setQueryData(["session"], who);
    },
  });
}

export function useLogOut() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => told(api.DELETE("/api/v1/session")),
    onSuccess: () => {
      queries.clear();
      queries.setQueryData(["session"], null);
    },
  });
}
