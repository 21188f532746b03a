import { expect, test } from "vitest";
import { partly, whys } from "./why";

test("the loudest reason comes first, and what hardly speaks is left out", () => {
  expect(whys({ reasons: { uncertainty: 0.4, rarity: 0.9, novelty: 0.05 } })).toEqual([
    { name: "rarity", value: 0.9 },
    { name: "uncertainty", value: 0.4 },
  ]);
  expect(whys({ reasons: {} })).toEqual([]);
});

test("a task says what its part's tasks leave out, and nothing where they show all of it", () => {
  expect(partly({ defects: 200, of: 200, area: 0.6 })).toBeNull();
  expect(partly({ defects: 131, of: 300, area: 0.2 })).toContain("131 of the 300 defects");
  expect(partly({ defects: 0, of: 0, area: 1 })).toBeNull();
  expect(partly({ defects: 0, of: 0, area: 0.44 })).toContain("44%");
});
