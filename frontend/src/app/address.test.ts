import { expect, it } from "vitest";
import { segment } from "./address";

it.each(["heat 7/a", "sha256:ab12", "100 %", "P#4?x=1&y", "%2F", "批次 7"])("a name like %s comes back out of an address whole", (name) => {
  expect(segment(`/engineer/batches/bar/${encodeURIComponent(name)}`, 4)).toBe(name);
});

it("has nothing where an address ends, and takes what is typed by hand", () => {
  expect(segment("/models", 2)).toBeUndefined();
  expect(segment("/models/", 2)).toBeUndefined();
  expect(segment("/models/100%", 2)).toBe("100%");
});
