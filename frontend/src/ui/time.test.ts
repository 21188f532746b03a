import { expect, it } from "vitest";
import { left } from "./time";

it("says how much time is left, and nothing below none", () => {
  const now = Date.parse("2026-11-21T12:00:00Z");
  expect(["12:05:00", "12:00:59.2", "12:00:00", "11:00:00"].map((at) => left(`2026-11-21T${at}Z`, now))).toEqual(["5:00", "1:00", "0:00", "0:00"]);
});
