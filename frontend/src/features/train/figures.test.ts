import { expect, it } from "vitest";
import { sideBySide } from "./figures";

const texts = (models: readonly unknown[]) => sideBySide(models).map((row) => [row.name, ...row.values.map((figure) => figure?.text ?? null)]);

it("figures of two models stand side by side, intervals with them, and gaps stay gaps", () => {
  const models = [
    { loss: 0.5, image_ap: 0.91, recall: { value: 0.8, low: 0.7, high: 0.9 }, note: "words are left out" },
    { image_ap: 1, escapes: 1 },
  ];
  expect(texts(models)).toEqual([
    ["Defective images ranked before clean ones (AP)", "0.910", "1"],
    ["Defective images let pass", null, "1"],
    ["loss", "0.500", null],
    ["recall", "0.80 (0.70 to 0.90)", null],
  ]);
});

it("what decides comes first and in words; what stays is there by its own name", () => {
  const rows = sideBySide([{ classes: { background: { iou: 0.99 }, scratch: { iou: 0.4, pixels: 7 } }, "defect_recall_at_0.1": 0.7 }]);
  expect(rows.map((row) => [row.name, row.deciding])).toEqual([
    ["Defects found, at 1 false alarm in 10 images", true],
    ["Overlap, scratch (IoU)", true],
    ["classes, background, iou", false],
    ["classes, scratch, pixels", false],
  ]);
});

it("a share is drawn, a count is not", () => {
  const drawn = sideBySide([{ escapes: 1, image_ap: 1, seconds: 840 }]).map((row) => [row.name, row.values[0]?.share?.value ?? null]);
  expect(drawn).toEqual([
    ["Defective images ranked before clean ones (AP)", 1],
    ["Defective images let pass", null],
    ["seconds", null],
  ]);
});
