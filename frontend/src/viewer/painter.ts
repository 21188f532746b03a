/** Who draws outlines: the page a few of them, at once; a worker many, so that a thousand of them never hold up a frame. */

import { answer, type Asked, type Drawn, type Outline, type Wish } from "./drawing";

/** The page draws so many outlines within a few ms; a worker would be later. */
const FEW = 20;

type Take = (drawn: Drawn) => void;
type View = { take: Take; outlines: readonly Outline[]; /** Not answered yet. */ wish: Wish | null };

const views = new Map<number, View>();
let made = 0;
let worker: Worker | null = null;
let alone = false;

function told(drawn: Drawn): void {
  const view = views.get(drawn.view);
  if (!view) return drawn.picture.close();
  view.wish = null;
  view.take(drawn);
}

/** The worker's script did not come: the server is away, or has other pages by now. Nobody may go without outlines, so the page draws them. */
function goOnAlone(): void {
  alone = true;
  for (const [view, { outlines, wish }] of views) {
    ask({ what: "show", view, outlines });
    if (wish) ask({ what: "draw", view, ...wish });
  }
}

function painter(): Worker {
  if (worker) return worker;
  worker = new Worker(new URL("./outlines.worker.ts", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }: MessageEvent<Drawn>) => told(data));
  worker.addEventListener("error", goOnAlone);
  return worker;
}

function ask(asked: Asked): void {
  if (!alone && (views.get(asked.view)?.outlines.length ?? 0) > FEW) return painter().postMessage(asked);
  const drawn = answer(asked);
  if (drawn) told(drawn);
}

/** A view's own way to the painter. `take` gets each drawing, in the order of the wishes. */
export function paints(take: Take): { show: (outlines: readonly Outline[]) => void; draw: (wish: Wish) => void; leave: () => void } {
  const view = made++;
  const own: View = { take, outlines: [], wish: null };
  views.set(view, own);
  return {
    show: (outlines) => {
      own.outlines = outlines;
      ask({ what: "show", view, outlines });
    },
    draw: (wish) => {
      own.wish = wish;
      ask({ what: "draw", view, ...wish });
    },
    leave: () => {
      views.delete(view);
      const left: Asked = { what: "leave", view };
      answer(left);
      worker?.postMessage(left);
    },
  };
}
