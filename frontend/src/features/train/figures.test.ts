import { expect, it } from "vitest";
import { sideBySide } from "./figures";

it("figures of two models stand side by side, intervals with them, and gaps stay gaps", () => {
  const rows = sideBySide([
    { image_ap: 0.91, iou: { scratch: 0.5 }, recall: { value: 0.8, low: 0.7, high: 0.9 }, note: "words are left out" },
    { image_ap: 0.95, escapes: 3 },
  ]);
  expect(rows).toEqual([
    { name: "image ap", values: ["0.910", "0.950"] },
    { name: "iou · scratch", values: ["0.500", null] },
    { name: "recall", values: ["0.800 (0.700 to 0.900)", null] },
    { name: "escapes", values: [null, "3"] },
  ]);
});
