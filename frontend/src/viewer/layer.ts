/** The canvas over a picture: moved with it at once, drawn anew beside the page when it rests, or when it no longer fits. */

import { AROUND, type Drawn, type Outline, type Window } from "./drawing";
import { paints } from "./painter";

/** Where a frame lies in its viewer. */
export type Lie = {
  /** The frame's left upper corner in CSS px of the viewer. */
  x: number;
  y: number;
  /** CSS px a pixel of the frame. */
  scale: number;
  /** The viewer, in CSS px. */
  wide: number;
  high: number;
};
export type Size = { width: number; height: number };

/** So many CSS px around the viewer are drawn, too: a hand that moves the picture sees outlines there at once. */
const MARGIN = 200;
/** It is drawn anew while moving when less than this is left of the margin, */
const LEAST_MARGIN = 60;
/** or when lines would be so many times as wide as they should be, or as narrow; */
const COARSE = 2;
/** and always when the picture has been still for so many ms. */
const REST_MS = 120;

/** What is drawn for a lie: the viewer with a margin around it, as far as the frame reaches: a new part has three views to draw at once. */
export function windowOf({ x, y, scale, wide, high }: Lie, dense: number, frame: Size): Window {
  const side = (from: number, length: number, viewer: number) => {
    const start = Math.max(-MARGIN, from - AROUND);
    return { start, length: Math.max(1, Math.min(viewer + MARGIN, from + length * scale + AROUND) - start) };
  };
  const [across, down] = [side(x, frame.width, wide), side(y, frame.height, high)];
  return { x: (across.start - x) / scale, y: (down.start - y) / scale, width: across.length, height: down.length, scale, dense };
}

const same = (one: Window, other: Window): boolean => (Object.keys(one) as (keyof Window)[]).every((name) => one[name] === other[name]);

/** Where what was drawn has to lie now, in CSS px of the viewer, and how many times as large. */
export const placed = (drawn: Window, lie: Lie): { x: number; y: number; times: number } => ({
  x: lie.x + drawn.x * lie.scale,
  y: lie.y + drawn.y * lie.scale,
  times: lie.scale / drawn.scale,
});

/** Whether what was drawn shows, sharply enough to go on moving, all of the frame that the viewer shows. */
export function fits(drawn: Window, lie: Lie, frame: Size): boolean {
  const { x, y, times } = placed(drawn, lie);
  if (times > COARSE || times < 1 / COARSE) return false;
  const reaches = (from: number, length: number, frameFrom: number, frameLength: number, viewer: number) =>
    from <= Math.max(frameFrom, -LEAST_MARGIN) && from + length * times >= Math.min(frameFrom + frameLength * lie.scale, viewer + LEAST_MARGIN);
  return reaches(x, drawn.width, lie.x, frame.width, lie.wide) && reaches(y, drawn.height, lie.y, frame.height, lie.high);
}

/** A layer of outlines on a canvas. `drew` is told how many the drawing shows, at which scale. */
export function layerOn(canvas: HTMLCanvasElement, drew: (count: number, scale: number) => void) {
  const screen = canvas.getContext("bitmaprenderer");
  if (!screen) throw new Error("this browser shows no pictures of its workers");
  let lie: Lie | null = null;
  let frame: Size = { width: 0, height: 0 };
  let drawn: Window | null = null;
  let worn: { filled: boolean; without: number | null } = { filled: false, without: null };
  let none = true; // there is nothing to draw
  let changed = false; // something else than the place is to be drawn
  let asked = false;
  let late = false; // what was asked for is of outlines that are shown no more
  let rest: ReturnType<typeof setTimeout> | undefined;

  const lay = () => {
    if (!drawn || !lie) return;
    const { x, y, times } = placed(drawn, lie);
    canvas.style.transform = `translate(${x}px, ${y}px) scale(${times})`;
  };
  const ask = () => {
    clearTimeout(rest);
    if (!lie || asked) return;
    asked = true;
    changed = false;
    painter.draw({ seen: windowOf(lie, devicePixelRatio, frame), ...worn });
  };
  const settle = () => {
    if (!lie) return;
    if (none) return drew(0, lie.scale);
    if (changed || !drawn || !fits(drawn, lie, frame)) return ask();
    clearTimeout(rest);
    if (!same(drawn, windowOf(lie, devicePixelRatio, frame))) rest = setTimeout(ask, REST_MS);
  };
  const take = ({ picture, seen, count }: Drawn) => {
    asked = false;
    if (late) {
      late = false;
      picture.close();
      return settle();
    }
    drawn = seen;
    canvas.style.visibility = "inherit";
    Object.assign(canvas, { width: picture.width, height: picture.height });
    Object.assign(canvas.style, { width: `${seen.width}px`, height: `${seen.height}px` });
    screen.transferFromImageBitmap(picture);
    drew(count, seen.scale);
    lay();
    settle();
  };
  const painter = paints(take);

  return {
    /** Other outlines, of a frame of this size. */
    show(outlines: readonly Outline[], size: Size) {
      frame = size;
      painter.show(outlines);
      drawn = null;
      none = outlines.length === 0;
      if (none) screen.transferFromImageBitmap(null);
      canvas.style.visibility = "hidden"; // nobody sees outlines of another part
      late = asked;
      settle();
    },
    wear(filled: boolean, without: number | null) {
      if (filled === worn.filled && without === worn.without) return;
      worn = { filled, without };
      changed = true;
      settle();
    },
    /** The picture lies elsewhere, or looks larger. */
    move(to: Lie) {
      lie = to;
      lay();
      settle();
    },
    leave() {
      clearTimeout(rest);
      painter.leave();
    },
  };
}

export type Layer = ReturnType<typeof layerOn>;
