import { useQuery } from "@tanstack/react-query";
import { api, ApiError, told } from "./client";
import type { FrameBox } from "../geometry/frame";
import { text } from "../text";

/** The last good part that was seen like this one; null where there is none. */
export const useGood = (id: string, n: number) =>
  useQuery({
    queryKey: ["good", id, n],
    queryFn: () => told(api.GET("/api/v1/inspections/{inspection_id}/images/{n}/good", { params: { path: { inspection_id: id, n } } })),
    staleTime: 10_000,
  });

/** Where two pictures differ, within a box of the first: an address of the picture here, and how they were laid on each other. */
export const useDifference = (id: string, n: number, good: { inspection_id: string; n: number }, box: FrameBox) =>
  useQuery({
    queryKey: ["difference", id, n, good.inspection_id, good.n, box.x, box.y, box.width, box.height],
    queryFn: async ({ signal }) => {
      const place = [box.x, box.y, box.width, box.height].map((length) => String(Math.round(length)));
      const asked = new URLSearchParams({ good: good.inspection_id, good_n: String(good.n), x: place[0] ?? "0", y: place[1] ?? "0", width: place[2] ?? "1", height: place[3] ?? "1" });
      const answer = await fetch(`/api/v1/inspections/${id}/images/${n}/difference.png?${asked}`, { signal });
      if (!answer.ok) throw new ApiError(answer.status, text.everywhere.answered({ status: String(answer.status) }));
      return { picture: await pictureOf(await answer.blob()), laid: answer.headers.get("QC-Laid") === "registered" ? ("registered" as const) : ("lay" as const) };
    },
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
  });

/** A picture's bytes as an address that needs no clearing away. */
const pictureOf = (bytes: Blob): Promise<string> =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error ?? new Error("unread"));
    reader.readAsDataURL(bytes);
  });
