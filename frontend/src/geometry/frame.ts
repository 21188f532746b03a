/** Places on a frame, in frame pixels. Pure. */

import { framePx, type FramePx, type ScreenPx } from "./units";

export type Point = readonly [FramePx, FramePx];
export type Ring = readonly Point[];

/** A rectangle on a frame: left, top, width, height. */
export type FrameBox = { x: FramePx; y: FramePx; width: FramePx; height: FramePx };

export const boxOf = (bbox: readonly number[]): FrameBox => {
  const [x = 0, y = 0, width = 0, height = 0] = bbox;
  return { x: framePx(x), y: framePx(y), width: framePx(width), height: framePx(height) };
};

export const centreOf = (box: FrameBox): Point => [framePx(box.x + box.width / 2), framePx(box.y + box.height / 2)];

/** Rings of pixel centres as one SVG path. Half a pixel is added: the centre of pixel 0 lies at 0.5. A ring of one pixel is its square. */
export function pathOf(rings: readonly (readonly (readonly number[])[])[]): string {
  return rings
    .filter((ring) => ring.length > 0)
    .map((ring) => (ring.length === 1 ? `M${ring[0]?.[0] ?? 0} ${ring[0]?.[1] ?? 0}h1v1h-1Z` : `M${ring.map(([x = 0, y = 0]) => `${x + 0.5} ${y + 0.5}`).join("L")}Z`))
    .join("");
}

/** The path of a box; what stands in for a defect that came without an outline. */
export const pathOfBox = (box: FrameBox): string =>
  `M${box.x} ${box.y}h${box.width}v${box.height}h${-box.width}Z`;

/**
 * What to show to look at `box`: the box in the middle with as much again around it, at least `least` pixels wide and
 * high, and never larger than the frame.
 */
export function lookAt(box: FrameBox, frame: { width: FramePx; height: FramePx }, least: FramePx): FrameBox {
  const [cx, cy] = centreOf(box);
  const side = (length: FramePx, whole: FramePx) => Math.min(whole, Math.max(length * 3, least));
  const width = side(box.width, frame.width);
  const height = side(box.height, frame.height);
  const place = (centre: number, length: number, whole: number) =>
    Math.min(Math.max(centre - length / 2, 0), whole - length);
  return {
    x: framePx(place(cx, width, frame.width)),
    y: framePx(place(cy, height, frame.height)),
    width: framePx(width),
    height: framePx(height),
  };
}

/** Which of the places can carry a label without touching the label of an earlier one: all at least `gap` apart. */
export function apart(places: readonly { x: number; y: number }[], gap: ScreenPx): boolean[] {
  const kept: { x: number; y: number }[] = [];
  return places.map((place) => {
    const free = kept.every((other) => Math.abs(other.x - place.x) >= gap || Math.abs(other.y - place.y) >= gap);
    if (free) kept.push(place);
    return free;
  });
}
