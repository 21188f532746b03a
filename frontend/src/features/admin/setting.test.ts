import { expect, it } from "vitest";
import { read } from "./setting";

const limits = (kind: "number" | "whole" | "yes_no" | "cron", more = {}) => ({ kind, least: null, most: null, above: null, ...more });

it("takes numbers as people write them, within the limits that the server named", () => {
  expect(["0,5", "0.5", " 3 ", "", "x", "-1"].map((typed) => read(limits("number", { least: 0 }), typed))).toEqual([0.5, 0.5, 3, null, undefined, undefined]);
  expect([read(limits("number", { above: 0 }), "0"), read(limits("whole", { most: 9 }), "10"), read(limits("whole"), "2.5")]).toEqual([undefined, undefined, undefined]);
  expect([read(limits("yes_no"), "false"), read(limits("cron"), " 0 2 * * * ")]).toEqual([false, "0 2 * * *"]);
});
