import { expect, it } from "vitest";
import { gather } from "./gather";

const files = (...names: string[]) => names.map((name) => ({ name }));

it("views of one part belong together, and parts stand in the order of their numbers", () => {
  const { parts, others } = gather(files("P-10.png", "P-2__side.jpg", "P-2__top.JPEG", "notes.txt", ".DS_Store"));
  expect(parts.map(({ part, files: own }) => [part, own.map(({ view }) => view)])).toEqual([["P-2", ["side", "top"]], ["P-10", [""]]]);
  expect(others).toBe(1);
});

it("what is no picture makes no part", () => {
  expect(gather(files("a.pdf", "b"))).toEqual({ parts: [], others: 2 });
});
