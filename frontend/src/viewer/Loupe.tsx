import { type PointerEvent, useEffect, useRef, useState } from "react";
import type { Defect } from "../api/words";
import { boxOf, centreOf } from "../geometry/frame";
import { tilesFor } from "../geometry/tiles";
import { framePx, screenPx } from "../geometry/units";
import { text } from "../text";

/** Side of the magnifier on the screen, in CSS px. */
const SIDE = 240;
/** So many CSS px show one pixel of the camera, to choose from by + and -. */
const TIMES = [1, 2, 3, 4, 6, 8, 12, 16];
/** At first it is so many times larger than the picture around it, and each pixel of the camera at least `LEAST` on the screen. */
const LARGER = 2;
const LEAST = 3;
/** An arrow key moves it by this share of what it shows. */
const STEP = 0.15;

type Place = readonly [number, number];
type Props = {
  picture: {
    width: number;
    height: number;
    tile: (level: number, column: number, row: number) => string;
    defects: readonly { defect: Defect; number: number }[];
    chosen: number | null;
  };
  /** Where the pointer was when it appeared, in CSS px of the viewer; null: there is none over it. */
  pointer: Place | null;
  toFrame: (x: number, y: number) => Place | null;
  toScreen: (x: number, y: number) => Place | null;
};

/** A pointer's place in CSS px of the element that listens. */
export const placeOf = ({ currentTarget, clientX, clientY }: PointerEvent): Place => {
  const { left, top } = currentTarget.getBoundingClientRect();
  return [clientX - left, clientY - top];
};

/** The camera's own pixels under the pointer, without outlines; also by arrow keys, for whoever has no pointer. */
export function Loupe({ picture, pointer, toFrame, toScreen }: Props) {
  const [times, setTimes] = useState(() => firstTimes(toScreen));
  const [at, setAt] = useState<Place>(() => beginning(picture, pointer, toFrame));
  const drawn = useRef<HTMLDivElement>(null);
  const shows = SIDE / (TIMES[times] ?? 3);

  useEffect(() => {
    const viewer = drawn.current?.parentElement;
    const follow = (event: globalThis.PointerEvent) => {
      const { left, top } = (viewer ?? document.body).getBoundingClientRect();
      const found = toFrame(event.clientX - left, event.clientY - top);
      if (found) setAt(within(found, picture));
    };
    viewer?.addEventListener("pointermove", follow);
    return () => viewer?.removeEventListener("pointermove", follow);
  }, [picture]);

  useEffect(() => {
    const moves: Record<string, Place> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const press = (event: KeyboardEvent) => {
      const move = moves[event.key];
      if (move) setAt(([x, y]) => within([x + move[0] * STEP * shows, y + move[1] * STEP * shows], picture));
      else if (event.key === "+" || event.key === "-") setTimes((n) => Math.min(Math.max(n + (event.key === "+" ? 1 : -1), 0), TIMES.length - 1));
      else return;
      event.preventDefault();
      event.stopImmediatePropagation(); // meanwhile these keys choose no other part
    };
    window.addEventListener("keydown", press, { capture: true });
    return () => window.removeEventListener("keydown", press, { capture: true });
  }, [picture, shows]);

  const [x, y] = at;
  const place = toScreen(x, y) ?? [0, 0];
  const crop = boxOf([x - shows / 2, y - shows / 2, shows, shows]);
  const tiles = tilesFor(crop, { width: framePx(picture.width), height: framePx(picture.height) }, screenPx(crop.width));
  const percent = (share: number) => `${100 * share}%`;
  return (
    <div ref={drawn} className="loupe" role="img" style={{ width: SIDE, height: SIDE, left: place[0] - SIDE / 2, top: place[1] - SIDE / 2 }}
      aria-label={text.inspect.loupeAt({ x: Math.round(x), y: Math.round(y) })}>
      {tiles.map(({ level, column, row, left, top, width, height }) => (
        <img key={`${column}_${row}`} src={picture.tile(level, column, row)} alt="" draggable={false}
          style={{ left: percent(left), top: percent(top), width: percent(width), height: percent(height) }} />
      ))}
      <span className="loupe-times">{TIMES[times]} : 1</span>
    </div>
  );
}

/** Where it lies at first: under the pointer, on the chosen defect, else in the middle of what is shown. */
function beginning(picture: Props["picture"], pointer: Place | null, toFrame: Props["toFrame"]): Place {
  const chosen = picture.defects.find(({ number }) => number === picture.chosen);
  const under = pointer && toFrame(...pointer);
  if (under) return within(under, picture);
  return chosen ? centreOf(boxOf(chosen.defect.bbox)) : [picture.width / 2, picture.height / 2];
}

/** Which of `TIMES` magnifies what is on screen now. */
function firstTimes(toScreen: Props["toScreen"]): number {
  const scale = (toScreen(1, 0)?.[0] ?? 0) - (toScreen(0, 0)?.[0] ?? 0);
  const found = TIMES.findIndex((times) => times >= Math.max(LARGER * scale, LEAST));
  return found < 0 ? TIMES.length - 1 : found;
}

const within = ([x, y]: Place, { width, height }: { width: number; height: number }): Place => [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
