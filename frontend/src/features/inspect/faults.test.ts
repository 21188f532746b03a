import { expect, it } from "vitest";
import type { Inspection } from "../../api/words";
import { faultsOf, mayBeMeant } from "./faults";

const part = (...faults: (string | null)[]) =>
  ({ images: faults.map((camera_fault, n) => ({ n, view: n === 0 ? "" : `view-${n}`, camera_fault })) }) as Inspection;

it("names every camera at fault, and none where all is well", () => {
  expect(faultsOf(part("black", null, "shifted"))).toEqual([
    { n: 0, view: "View 1", fault: "black" }, { n: 2, view: "view-2", fault: "shifted" },
  ]);
  expect(faultsOf(part(null, null))).toEqual([]);
});

it("a camera set up anew may look different, but nobody wants black, white or frozen pictures", () => {
  const all = faultsOf(part("black", "white", "frozen", "blurred", "exposure", "shifted", "dirty"));
  expect(mayBeMeant(all).map(({ fault }) => fault)).toEqual(["blurred", "exposure", "shifted", "dirty"]);
});
