import { expect, it } from "vitest";
import type { Lever } from "../../api/words";
import { byStrength, farthest, ticks } from "./levers";

const lever = (setting: string, effect: number, error: number) =>
  ({ setting, effect, effect_low: effect - error, effect_high: effect + error }) as Lever;

it("the strongest lever comes first whatever its sign, and those that move nothing stay in their order", () => {
  const levers = [lever("a", 0, 0), lever("b", 0.2, 0.1), lever("c", 0, 0), lever("d", -0.9, 0.1)];
  expect(byStrength(levers).map((one) => one.setting)).toEqual(["d", "b", "a", "c"]);
});

it("the drawing holds every interval, and marks the tolerance where it is in sight", () => {
  const reach = farthest([lever("a", 0.5, 0.1), lever("b", -1.2, 0.3)]);
  expect(reach).toBeGreaterThan(1.5);
  expect(ticks(reach)).toEqual([-1, 0, 1]);
  expect(ticks(farthest([]))).toEqual([-0.25, 0, 0.25]);
  expect(ticks(9)).toEqual([-9, -6, -3, 0, 3, 6, 9]);
});
