import { describe, expect, it } from "vitest";
import { onTop } from "./inspections";
import type { Inspection } from "./words";

const part = (id: string, station = "s1", verdict = "ok") => ({ id, station, verdict, part: `P-${id}` }) as Inspection;
const list = (...pages: Inspection[][]) => ({ pages: pages.map((items) => ({ items, next_cursor: null })), pageParams: pages.map(() => "") });

describe("a part that was just judged", () => {
  const known = list([part("5"), part("4")], [part("3")]);

  it("stands on top of a list that it fits", () => {
    expect(onTop(known, part("6"), {})?.pages.map(({ items }) => items.map(({ id }) => id))).toEqual([["6", "5", "4"], ["3"]]);
    expect(onTop(list([]), part("6"), {})?.pages[0]?.items).toHaveLength(1);
    expect(onTop(known, part("6"), { station: "s1", verdict: "ok", part: "P-6" })).not.toBe(known);
  });

  it("is left to the server where it does not fit, is there already, or is older than another", () => {
    expect(onTop(known, part("6"), { station: "s2" })).toBe(known);
    expect(onTop(known, part("6"), { verdict: "ng" })).toBe(known);
    expect(onTop(known, part("5"), {})).toBe(known);
    expect(onTop(known, part("45"), {})).toBe(known);
    expect(onTop(undefined, part("6"), {})).toBeUndefined();
  });
});
