/** Which zoom tiles of the server show a part of a frame, and where. Pure. */

import type { FrameBox } from "./frame";
import type { FramePx, ScreenPx } from "./units";

/** The server's tiles (see its route): 512 px, no overlap; level L is the picture halved `top - L` times, rounded up. */
const TILE = 512;

/** A tile, and where it lies in the shown box: shares of the box, 0 to 1; beyond where the tile reaches over its edge. */
export type PlacedTile = { level: number; column: number; row: number; left: number; top: number; width: number; height: number };

/**
 * The tiles that show `box` at least `wide` pixels wide, from the smallest level that is sharp enough; the full picture
 * where none is. A box that reaches over the frame's edge is shown with nothing there.
 */
export function tilesFor(box: FrameBox, frame: { width: FramePx; height: FramePx }, wide: ScreenPx): PlacedTile[] {
  const highest = Math.max(0, Math.ceil(Math.log2(Math.max(frame.width, frame.height))));
  const halvings = Math.min(highest, Math.max(0, Math.floor(Math.log2(box.width / wide))));
  const step = 2 ** halvings; // frame pixels a pixel of the level
  const [across, down] = [Math.ceil(frame.width / step), Math.ceil(frame.height / step)];
  const places = (from: FramePx, length: FramePx, size: number) => {
    const first = Math.max(0, Math.floor(from / step / TILE));
    const last = Math.min(Math.ceil(size / TILE), Math.ceil((from + length) / step / TILE));
    return Array.from({ length: Math.max(0, last - first) }, (_, place) => first + place);
  };
  return places(box.y, box.height, down).flatMap((row) =>
    places(box.x, box.width, across).map((column) => ({
      level: highest - halvings,
      column,
      row,
      left: (column * TILE * step - box.x) / box.width,
      top: (row * TILE * step - box.y) / box.height,
      width: (Math.min(TILE, across - column * TILE) * step) / box.width,
      height: (Math.min(TILE, down - row * TILE) * step) / box.height,
    })),
  );
}

