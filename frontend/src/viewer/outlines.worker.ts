/** Draws outlines beside the page, which meanwhile moves the picture. */

import { draw, prepare, type Prepared } from "./drawing";
import type { Asked, Drawn } from "./painter";

const known = new Map<number, Prepared[]>();

addEventListener("message", ({ data }: MessageEvent<Asked>) => {
  if (data.what === "leave") return void known.delete(data.view);
  if (data.what === "show") return void known.set(data.view, prepare(data.outlines));
  const { width, height, dense } = data.seen;
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(width * dense)), Math.max(1, Math.round(height * dense)));
  const on = canvas.getContext("2d");
  if (!on) throw new Error("this browser draws nothing outside of its page");
  const count = draw(on, known.get(data.view) ?? [], data.seen, data.filled, data.without);
  const picture = canvas.transferToImageBitmap();
  postMessage({ view: data.view, picture, seen: data.seen, count } satisfies Drawn, { transfer: [picture] });
});
