import { expect, test } from "vitest";
import { whys } from "./why";

test("the loudest reason comes first, and what hardly speaks is left out", () => {
  expect(whys({ reasons: { uncertainty: 0.4, rarity: 0.9, novelty: 0.05 } })).toEqual([
    { name: "rarity", value: 0.9 },
    { name: "uncertainty", value: 0.4 },
  ]);
  expect(whys({ reasons: {} })).toEqual([]);
});
