import { expect, it } from "vitest";
import type { Process } from "../../api/words";
import { asWish, choices, optionalAhead } from "./ahead";

const setting = { low: 0, high: 2, nominal: 1 };
const process: Process = {
  name: "bar", currency: "EUR", part: { value: 1, scrap: 0, escape: -1 }, conformance: [],
  steps: [
    { name: "s1", settings: { force: setting } },
    { name: "s2", settings: { heat: setting, time: setting } },
    { name: "s3", optional: true, settings: { passes: setting } },
  ],
};

it("only what is still to come may be chosen: the advised first, the unknown last", () => {
  const names = choices(process, { at: "s2", settings: { "s3.passes": 2 } }, ["s2.heat"]).map((one) => [one.name, one.known]);
  expect(names).toEqual([["s3.passes", true], ["s2.time", true], ["s2.heat", false]]);
  expect([optionalAhead(process, "s2"), optionalAhead(process, "gone")]).toEqual([["s3"], []]);
});

it("a wish names what leaves nominal, and nothing of an optional step that is not run", () => {
  const moved = { "s2.heat": 1, "s2.time": 1.5, "s3.passes": 2 };
  expect(asWish(process, moved, [])).toEqual({ settings: { "s2.time": 1.5 }, run: [] });
  expect(asWish(process, moved, ["s3"])).toEqual({ settings: { "s2.time": 1.5, "s3.passes": 2 }, run: ["s3"] });
});
