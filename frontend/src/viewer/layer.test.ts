import { describe, expect, it } from "vitest";
import { within } from "./drawing";
import { fits, type Lie, placed, windowOf } from "./layer";

const FRAME = { width: 8000, height: 6000 };
const HOME: Lie = { x: 50, y: 0, scale: 0.1, wide: 900, high: 600 };

describe("a drawing of outlines", () => {
  const drawn = windowOf(HOME, 2, FRAME);

  it("lies where the frame lies, and reaches no further than it, its lines and numbers", () => {
    expect(placed(drawn, HOME)).toEqual({ x: 26, y: -24, times: 1 });
    expect([drawn.width, drawn.height]).toEqual([848, 648]);
    const [x, y] = [(0 - drawn.x) * drawn.scale, (0 - drawn.y) * drawn.scale]; // the frame's corner on the drawing
    expect([x + 26, y - 24]).toEqual([HOME.x, HOME.y]);
  });

  it("has a margin of 200 px around the viewer where the frame is larger", () => {
    const near: Lie = { x: -3000, y: -2000, scale: 1, wide: 900, high: 600 };
    expect(windowOf(near, 1, FRAME)).toEqual({ x: 2800, y: 1800, width: 1300, height: 1000, scale: 1, dense: 1 });
    const gone = windowOf({ ...near, x: 5000 }, 1, FRAME);
    expect([gone.width, fits(gone, { ...near, x: 5000 }, FRAME)]).toEqual([1, true]);
  });

  it("moves and grows with the frame", () => {
    const lie = { ...HOME, x: 20, y: -30, scale: 0.15 };
    const { x, y, times } = placed(drawn, lie);
    const corner = [x + (0 - drawn.x) * drawn.scale * times, y + (0 - drawn.y) * drawn.scale * times];
    expect(corner[0]).toBeCloseTo(lie.x);
    expect(corner[1]).toBeCloseTo(lie.y);
    expect(times).toBeCloseTo(1.5);
  });

  it("fits while the hand moves a little, and where the frame ends inside of it", () => {
    expect(fits(drawn, HOME, FRAME)).toBe(true);
    expect(fits(drawn, { ...HOME, x: 180, y: -120 }, FRAME)).toBe(true);
    expect(fits(drawn, { ...HOME, x: -5000 }, FRAME)).toBe(true); // nothing of the frame is seen
    expect(fits(drawn, { ...HOME, scale: 0.06 }, FRAME)).toBe(true); // all of the frame is on it
  });

  it("fits no more where something is seen that is not on it, or lines are too wide or too narrow", () => {
    const near: Lie = { x: -3000, y: -2000, scale: 1, wide: 900, high: 600 };
    expect(fits(windowOf(near, 1, FRAME), near, FRAME)).toBe(true);
    expect(fits(windowOf(near, 1, FRAME), { ...near, x: near.x + 150 }, FRAME)).toBe(false);
    expect(fits(windowOf(near, 1, FRAME), { ...near, x: near.x - 150 }, FRAME)).toBe(false);
    expect(fits(windowOf(near, 1, FRAME), { ...near, y: near.y + 150 }, FRAME)).toBe(false);
    expect(fits(windowOf(near, 1, FRAME), { ...near, scale: 0.7 }, FRAME)).toBe(false);
    expect(fits(drawn, { ...HOME, scale: 0.21 }, FRAME)).toBe(false);
  });
});

it("draws what can be seen, with the line and the number that reach over its box", () => {
  const seen = { x: 100, y: 100, width: 400, height: 200, scale: 2, dense: 1 };
  expect(within(seen, [90, 90, 20, 20])).toBe(true);
  expect(within(seen, [310, 150, 5, 5])).toBe(true); // 10 frame px beyond the edge: its line is seen
  expect(within(seen, [320, 150, 5, 5])).toBe(false);
  expect(within(seen, [150, 60, 5, 5])).toBe(false);
});
