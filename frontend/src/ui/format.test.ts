import { describe, expect, it } from "vitest";
import { framePx, mm } from "../geometry/units";
import { ago, change, duration, exact, figure, money, monthName, percent, shortId, showMm, showPx } from "./format";

describe("numbers as people read them", () => {
  it("a chance is never shown as certain when it is not", () => {
    expect([0, 0.0004, 0.006, 0.93, 0.994, 0.9996, 1].map(percent)).toEqual([
      "0%", "< 0.1%", "0.6%", "93%", "99.4%", "> 99.9%", "100%",
    ]);
  });
  it("money has its currency, a true minus, and cents where they matter", () => {
    expect(money(31.2, "EUR")).toBe("€31.20");
    expect(money(-12, "EUR")).toBe("−\u2060€12.00");
    expect(money(12400.4, "EUR")).toBe("€12,400");
    expect(money(3, "Taler")).toBe("3.00 Taler");
  });
  it("figures keep four significant digits and changes their sign", () => {
    expect([0, 842, 0.0123456, 14.000001, 12345.6].map(figure)).toEqual(["0", "842", "0.01235", "14", "12346"]);
    expect([change(2), change(-0.45)]).toEqual(["+2", "−0.45"]);
  });
  it("names are short", () => {
    expect(shortId("sha256:0123456789abcdef")).toBe("0123456789");
  });
  it("a while is told in its largest unit", () => {
    const now = Date.parse("2026-11-21T12:00:00Z");
    expect(["11:59:55", "11:48:00", "09:00:00"].map((t) => ago(`2026-11-21T${t}Z`, now))).toEqual(["5 sec ago", "12 min ago", "3 hr ago"]);
    expect(ago("2026-11-21T12:00:03Z", now)).toBe("0 sec ago");
  });
  it("how long a plan takes is told in minutes, and in hours where it is long", () => {
    const said = [0, 2.5, 45.4, 119, 210].map((time) => duration(time).replace(/s$/, "")); // versions of ICU differ in “mins”
    expect(said).toEqual(["0 min", "2.5 min", "45 min", "119 min", "3.5 hr"]);
  });
  it("lengths are shown with the figures that mean something", () => {
    expect(showPx(framePx(5.71))).toBe("5.7 px");
    expect(showPx(framePx(143.2))).toBe("143 px");
    expect(showMm(mm(0.012))).toBe("12 µm");
    expect(showMm(mm(0.5))).toBe("0.50 mm");
    expect(showMm(mm(12.449))).toBe("12.4 mm");
  });
  it("what may be typed again has all its decimals, and a month its name", () => {
    expect([exact(12345.678), exact(0.1)]).toEqual(["12345.678", "0.1"]);
    expect(monthName("2026-11")).toBe("November 2026");
  });
});
