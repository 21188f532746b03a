/** Draws outlines beside the page, which meanwhile moves the picture. */

import { answer, type Asked } from "./drawing";

addEventListener("message", ({ data }: MessageEvent<Asked>) => {
  const drawn = answer(data);
  if (drawn) postMessage(drawn, { transfer: [drawn.picture] });
});
