import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { api, told } from "./client";
import { refreshEvery } from "./connection";
import type { components } from "./schema";

type Schemas = components["schemas"];
export type Person = Schemas["PersonJson"];
export type MachineKey = Schemas["KeyJson"];
export type Setting = Schemas["SettingJson"];
export type Plain = Setting["value"];
export type Product = Schemas["ProductJson"];
export type ProductView = Schemas["ViewJson"];
export type Camera = Schemas["CameraJson"];

export const usePeople = () => useQuery({ queryKey: ["people"], queryFn: () => told(api.GET("/api/v1/people")) });
export const useMachineKeys = () => useQuery({ queryKey: ["keys"], queryFn: () => told(api.GET("/api/v1/keys")) });
export const useSettings = () => useQuery({ queryKey: ["settings"], queryFn: () => told(api.GET("/api/v1/settings")) });
export const useProductNames = () => useQuery({ queryKey: ["products"], queryFn: () => told(api.GET("/api/v1/products")) });
export const useConnections = () => useQuery({ queryKey: ["connections"], queryFn: () => told(api.GET("/api/v1/connections")) });
export const useBackups = () => useQuery({ queryKey: ["backups"], queryFn: () => told(api.GET("/api/v1/backups")), refetchInterval: refreshEvery });
export const useBackupJobs = () =>
  useQuery({ queryKey: ["jobs", "backup"], queryFn: () => told(api.GET("/api/v1/jobs", { params: { query: { kind: "backup", limit: 1 } } })), refetchInterval: refreshEvery });

export const useProduct = (name: string) =>
  useQuery({ queryKey: ["product", name], queryFn: () => told(api.GET("/api/v1/products/{name}", { params: { path: { name } } })), enabled: name !== "", refetchOnWindowFocus: false });

export const useCameras = () => useQuery({ queryKey: ["cameras"], queryFn: () => told(api.GET("/api/v1/cameras")), refetchInterval: refreshEvery, retry: false });

/** The newest part of a station: what its cameras saw last. */
export const useNewest = (station: string) =>
  useQuery({
    queryKey: ["inspections", "newest", station],
    queryFn: async () => (await told(api.GET("/api/v1/inspections", { params: { query: { station, limit: 1 } } }))).items[0] ?? null,
    refetchInterval: refreshEvery,
  });

/** A change, after which what it touches is asked for again. */
function useChange<W, A>(change: (wish: W) => Promise<A>, ...touched: string[]) {
  const queries = useQueryClient();
  return useMutation({ mutationFn: change, onSuccess: () => Promise.all(touched.map((key) => queries.invalidateQueries({ queryKey: [key] }))) });
}

export const useAddPerson = () => useChange((body: Schemas["NewPerson"]) => told(api.POST("/api/v1/people", { body })), "people");
export const useChangePerson = () =>
  useChange(({ name, ...body }: { name: string } & Schemas["PersonChange"]) => told(api.PATCH("/api/v1/people/{name}", { params: { path: { name } }, body })), "people");
export const useRemovePerson = () => useChange((name: string) => told(api.DELETE("/api/v1/people/{name}", { params: { path: { name } } })), "people");
export const useAddKey = () => useChange((body: Schemas["NewKey"]) => told(api.POST("/api/v1/keys", { body })), "keys");
export const useRevokeKey = () => useChange((id: string) => told(api.DELETE("/api/v1/keys/{id}", { params: { path: { id } } })), "keys");
export const useChangeSettings = () => useChange((values: Record<string, Plain>) => told(api.PATCH("/api/v1/settings", { body: { values } })), "settings");
export const useChangeProduct = () =>
  useChange(({ name, ...body }: { name: string } & Schemas["ProductChange"]) => told(api.PUT("/api/v1/products/{name}", { params: { path: { name } }, body })), "product", "products");
export const useTarget = () => useMutation({ mutationFn: (body: Schemas["TargetIn"]) => told(api.POST("/api/v1/calibrations", { body })) });
export const useTryConnection = () => useMutation({ mutationFn: (name: string) => told(api.POST("/api/v1/connections/{name}/test", { params: { path: { name } } })) });
export const useMakeBackup = () => useChange(() => told(api.POST("/api/v1/backups")), "jobs", "backups");
export const useRemoveBackup = () => useChange((name: string) => told(api.DELETE("/api/v1/backups/{name}", { params: { path: { name } } })), "backups");
export const useVerify = () => useMutation({ mutationFn: () => told(api.POST("/api/v1/audit/verify")) });
export const useAccept = () =>
  useChange(({ station, view }: { station: string; view: string }) => told(api.POST("/api/v1/cameras/{station}/accept", { params: { path: { station }, query: { view } } })), "cameras", "alarms");
export const useSetMode = () =>
  useChange(({ station, ...body }: { station: string } & Schemas["ModeWish"]) => told(api.POST("/api/v1/stations/{station}/mode", { params: { path: { station } }, body })), "stations");

export type TrailFilter = { kind?: string; by?: string; words?: string };

/** Entries of the audit trail, newest first, page by page. What the server has looked at without finding anything is no page. */
export const useTrail = (filter: TrailFilter) =>
  useInfiniteQuery({
    queryKey: ["audit", filter],
    queryFn: async ({ pageParam, signal }) => {
      const ask = (before: number | null) => told(api.GET("/api/v1/audit", { signal, params: { query: { ...filter, ...(before === null ? {} : { before }) } } }));
      let page = await ask(pageParam);
      while (page.items.length === 0 && page.next_before !== null) page = await ask(page.next_before);
      return page;
    },
    initialPageParam: null as number | null,
    getNextPageParam: (page) => page.next_before,
  });

/** The same entries as a table for a spreadsheet. */
export const trailCsv = (filter: TrailFilter): string => `/api/v1/audit.csv?${new URLSearchParams(filter)}`;
