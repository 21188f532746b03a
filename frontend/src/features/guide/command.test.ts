import { expect, it } from "vitest";
import { command } from "./command";

it("names what there is, and a shell takes it as it is", () => {
  const wish = { key: "qc_1", station: "press-1", product: "", view: "", address: "http://here:8000" };
  expect(command(wish)).toBe("curl -H 'Authorization: Bearer qc_1' \\\n  -F image=@picture.png \\\n  -F part=P-1 \\\n  -F station=press-1 \\\n  http://here:8000/api/v1/inspections");
  expect(command({ ...wish, view: "it's from above", product: "bar" })).toContain("  -F 'view=it'\\''s from above' \\\n  -F product=bar \\\n");
});
