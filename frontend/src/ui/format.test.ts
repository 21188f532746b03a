import { describe, expect, it } from "vitest";
import { ago, change, count, figure, money, percent, shortId } from "./format";

describe("numbers as people read them", () => {
  it("a chance is never shown as certain when it is not", () => {
    expect([0, 0.0004, 0.006, 0.93, 0.994, 0.9996, 1].map(percent)).toEqual([
      "0 %", "< 0.1 %", "0.6 %", "93 %", "99.4 %", "> 99.9 %", "100 %",
    ]);
  });
  it("money has its currency, a true minus, and cents where they matter", () => {
    expect(money(31.2, "EUR")).toBe("31.20 EUR");
    expect(money(-12, "EUR")).toBe("−12.00 EUR");
    expect(money(12400.4, "EUR")).toBe("12,400 EUR");
  });
  it("figures keep four significant digits and changes their sign", () => {
    expect([0, 842, 0.0123456, 14.000001, 12345.6].map(figure)).toEqual(["0", "842", "0.01235", "14", "12346"]);
    expect([change(2), change(-0.45)]).toEqual(["+2", "−0.45"]);
  });
  it("names are short, and one is one", () => {
    expect(shortId("sha256:0123456789abcdef")).toBe("0123456789");
    expect([count(1, "part"), count(0, "part")]).toEqual(["1 part", "0 parts"]);
  });
  it("a while is told in its largest unit", () => {
    const now = Date.parse("2026-11-21T12:00:00Z");
    expect(["11:59:55", "11:48:00", "09:00:00"].map((t) => ago(`2026-11-21T${t}Z`, now))).toEqual(["5 s", "12 min", "3 h"]);
    expect(ago("2026-11-21T12:00:03Z", now)).toBe("0 s");
  });
});
