/** One painter of outlines for the whole page: a worker, so that a thousand of them never hold up a frame. */

import type { Outline, Window } from "./drawing";

export type Wish = { seen: Window; filled: boolean; /** A defect that is left out: the chosen one is drawn by the page. */ without: number | null };
export type Asked = { what: "show"; view: number; outlines: readonly Outline[] } | ({ what: "draw"; view: number } & Wish) | { what: "leave"; view: number };
export type Drawn = { view: number; picture: ImageBitmap; seen: Window; /** How many outlines are on it. */ count: number };

type Take = (drawn: Drawn) => void;

let worker: Worker | null = null;
let views = 0;
const takers = new Map<number, Take>();

function painter(): Worker {
  if (worker) return worker;
  worker = new Worker(new URL("./outlines.worker.ts", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }: MessageEvent<Drawn>) => {
    const take = takers.get(data.view);
    if (take) take(data);
    else data.picture.close();
  });
  return worker;
}

const ask = (asked: Asked) => painter().postMessage(asked);

/** A view's own way to the painter. `take` gets each drawing, in the order of the wishes. */
export function paints(take: Take): { show: (outlines: readonly Outline[]) => void; draw: (wish: Wish) => void; leave: () => void } {
  const view = views++;
  takers.set(view, take);
  return {
    show: (outlines) => ask({ what: "show", view, outlines }),
    draw: (wish) => ask({ what: "draw", view, ...wish }),
    leave: () => {
      takers.delete(view);
      ask({ what: "leave", view });
    },
  };
}
