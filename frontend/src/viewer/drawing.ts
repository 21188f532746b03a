/** Draws outlines, in a worker or, where none came, in the page; knows neither. */

import { apart } from "../geometry/frame";
import { screenPx } from "../geometry/units";

/** A defect as it is drawn. */
export type Outline = {
  number: number;
  /** SVG path in frame pixels. */
  path: string;
  /** x, y, width, height in frame pixels. */
  box: readonly [number, number, number, number];
  colour: string;
  /** A defect that does not count, because it is doubtful, is dashed. */
  counts: boolean;
};

/** What part of a frame is drawn, and how large. */
export type Window = {
  /** The frame's pixel that comes to the canvas's left upper corner. */
  x: number;
  y: number;
  /** The canvas in CSS px. */
  width: number;
  height: number;
  /** CSS px a pixel of the frame. */
  scale: number;
  /** Pixels of the screen a CSS px. */
  dense: number;
};

export type Wish = { seen: Window; filled: boolean; /** A defect that is left out: the chosen one is drawn by the page. */ without: number | null };
/** What a view asks of whoever draws: these outlines are its own from now on; draw them; it is gone. */
export type Asked = { what: "show"; view: number; outlines: readonly Outline[] } | ({ what: "draw"; view: number } & Wish) | { what: "leave"; view: number };
export type Drawn = { view: number; picture: ImageBitmap; seen: Window; /** How many outlines are on it. */ count: number };

/** Numbers are drawn beside so many defects, those that matter most; more would hide the part. */
export const NUMBERED = 10;

/** So many CSS px around a defect are drawn on, too: its line and its number. */
export const AROUND = 24;

/** Lines over darker ones, so that they are seen on bright and on dark metal: width in CSS px, how opaque. */
const LINE = { width: 2, dash: 4 };
const HALO = { colour: "16 19 22", sure: { width: 4.5, opaque: 0.65 }, doubtful: { width: 3, opaque: 0.4 } };
const FILLED = 0.55;

/** A defect with the path that is drawn; made once, as making it takes as long as drawing it. */
type Prepared = Outline & { drawn: Path2D };

const prepare = (outlines: readonly Outline[]): Prepared[] => outlines.map((outline) => ({ ...outline, drawn: new Path2D(outline.path) }));

/** Whether something of a defect can be seen in a window. */
export function within({ x, y, width, height, scale }: Window, [left, top, wide, high]: Outline["box"]): boolean {
  const around = AROUND / scale;
  return left + wide + around >= x && left - around <= x + width / scale && top + high + around >= y && top - around <= y + height / scale;
}

const known = new Map<number, Prepared[]>();

/** Does what is asked; gives the drawing where one was asked for. */
export function answer(asked: Asked): Drawn | null {
  const { view } = asked;
  if (asked.what === "leave") known.delete(view);
  if (asked.what === "show") known.set(view, prepare(asked.outlines));
  if (asked.what !== "draw") return null;
  const { seen, filled, without } = asked;
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(seen.width * seen.dense)), Math.max(1, Math.round(seen.height * seen.dense)));
  const on = canvas.getContext("2d");
  if (!on) throw new Error("this browser draws nothing outside of its page");
  const count = draw(on, known.get(view) ?? [], seen, filled, without);
  return { view, picture: canvas.transferToImageBitmap(), seen, count };
}

/** Draws what a window shows, and says how many that are. Lines and numbers have the same size on the screen at every scale. */
function draw(on: OffscreenCanvasRenderingContext2D, outlines: readonly Prepared[], seen: Window, filled: boolean, without: number | null): number {
  const { scale, dense } = seen;
  on.setTransform(1, 0, 0, 1, 0, 0);
  on.clearRect(0, 0, on.canvas.width, on.canvas.height);
  const there = outlines.filter(({ box, number }) => number !== without && within(seen, box));
  on.setTransform(scale * dense, 0, 0, scale * dense, -seen.x * scale * dense, -seen.y * scale * dense);
  on.lineJoin = on.lineCap = "round";
  for (const { drawn, colour, counts } of there) {
    const halo = counts ? HALO.sure : HALO.doubtful;
    on.lineWidth = halo.width / scale;
    on.strokeStyle = `rgb(${HALO.colour} / ${halo.opaque})`;
    on.setLineDash([]);
    on.stroke(drawn);
    if (filled) {
      on.globalAlpha = FILLED;
      on.fillStyle = colour;
      on.fill(drawn, "evenodd");
      on.globalAlpha = 1;
    }
    on.lineWidth = LINE.width / scale;
    on.strokeStyle = colour;
    on.setLineDash(counts ? [] : [LINE.dash / scale, LINE.dash / scale]);
    on.stroke(drawn);
  }
  on.setTransform(dense, 0, 0, dense, 0, 0);
  on.setLineDash([]);
  on.font = "700 13px system-ui, sans-serif";
  on.textAlign = "center";
  on.lineWidth = 3.5;
  on.strokeStyle = `rgb(${HALO.colour})`;
  on.fillStyle = "#fff";
  const numbered = there.filter(({ number }) => number <= NUMBERED);
  const places = numbered.map(({ box: [left, top, wide] }) => ({ x: (left + wide / 2 - seen.x) * scale, y: (top - seen.y) * scale }));
  const free = apart(places, screenPx(18));
  numbered.forEach(({ number }, one) => {
    const place = places[one];
    if (!place || !free[one]) return;
    on.strokeText(String(number), place.x, place.y - 9);
    on.fillText(String(number), place.x, place.y - 9);
  });
  return there.length;
}
