/** Numbers, money, units and times as the reader's country writes them. Pure, but for the language chosen. */

import type { FramePx, Mm } from "../geometry/units";
import { text } from "../text";
import { locale } from "../text/language";

const made = new Map<string, Intl.NumberFormat>();

/** Making a format takes longer than using it a hundred times. A true minus sign lines up with figures. */
function written(value: number, options: Intl.NumberFormatOptions): string {
  const key = `${locale()} ${JSON.stringify(options)}`;
  const format = made.get(key) ?? new Intl.NumberFormat(locale(), options);
  made.set(key, format);
  return format.format(value).replace("-", "−").replace(/−(?=\D)/, "−\u2060"); // a sign before € stays on its line
}

const times = new Map<string, Intl.DateTimeFormat>();

/** A moment given in ISO 8601; formats are kept, as those of numbers are. */
function moment(iso: string, options: Intl.DateTimeFormatOptions): string {
  const key = `${locale()} ${JSON.stringify(options)}`;
  const format = times.get(key) ?? new Intl.DateTimeFormat(locale(), options);
  times.set(key, format);
  return format.format(new Date(iso));
}

/** `14:03:22` of a moment given in ISO 8601, in the reader's own time zone. */
export const clock = (iso: string): string => moment(iso, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** `21 Nov, 14:03`. */
export const dayAndTime = (iso: string): string => moment(iso, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** `November 2026` of `2026-11`. */
export const monthName = (month: string): string =>
  moment(`${month}-01T00:00:00Z`, { month: "long", year: "numeric", timeZone: "UTC" });

/** How long before `now` (in ms): `5 sec ago`, `12 min ago`, `3 hr ago`, `2 days ago`. */
export function ago(iso: string, now: number): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(iso)) / 1000));
  const format = new Intl.RelativeTimeFormat(locale(), { style: "short" });
  if (seconds < 60) return format.format(-seconds, "second");
  if (seconds < 3600) return format.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86_400) return format.format(-Math.floor(seconds / 3600), "hour");
  return format.format(-Math.floor(seconds / 86_400), "day");
}

/** So many decimals, always. */
export const fixed = (value: number, decimals: number): string =>
  written(value, { minimumFractionDigits: decimals, maximumFractionDigits: decimals });

/** All the decimals a number has, and no marks between thousands: what may be typed again. */
export const exact = (value: number): string => written(value, { maximumSignificantDigits: 15, useGrouping: false });

/** A share of one as `93%`; near the ends with the decimals that still tell them apart from certainty. */
export function percent(share: number): string {
  const decimals = (share > 0 && share < 0.01) || (share > 0.99 && share < 1) ? 1 : 0;
  const show = (value: number) => written(value, { style: "percent", minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  if (share > 0 && share < 0.001) return `< ${show(0.001)}`;
  return share > 0.999 && share < 1 ? `> ${show(0.999)}` : show(share);
}

/** `€31.20`, `−€12.00`, `€12,400`: cents below a thousand. A currency that has no ISO 4217 code stands behind the figure. */
export function money(amount: number, currency: string): string {
  const whole = Math.abs(amount) < 1000 ? {} : { minimumFractionDigits: 0, maximumFractionDigits: 0 };
  if (/^[A-Z]{3}$/.test(currency)) return written(amount, { style: "currency", currency, ...whole });
  return `${fixed(amount, Math.abs(amount) < 1000 ? 2 : 0)} ${currency}`.trim();
}

/** A setting or a reading: four significant figures, no trailing noise, no marks between thousands. */
export const figure = (value: number): string =>
  written(value, { useGrouping: false, ...(Math.abs(value) >= 1000 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 4 }) });

/** `+2.1`, `−0.4`: a change, with its sign always. */
export const change = (value: number): string => (value > 0 ? `+${figure(value)}` : figure(value));

/** `0.1 to 3`. */
export const range = (low: string, high: string): string => text.everywhere.range({ low, high });

/** `143 px`; one decimal below ten, where it still says something. */
export const showPx = (length: FramePx): string => `${fixed(length, length < 10 ? 1 : 0)} px`;

/** `1.24 mm`, `12.4 mm`: three figures, and micrometres below a tenth (which have no word in Intl: the sign is the same everywhere). */
export function showMm(length: Mm): string {
  if (length < 0.1) return `${fixed(length * 1000, 0)} µm`;
  const figures = length < 1 ? { minimumFractionDigits: 2, maximumFractionDigits: 2 } : { minimumSignificantDigits: 3, maximumSignificantDigits: 3 };
  return written(length, { style: "unit", unit: "millimeter", ...figures });
}

/** `431 ms`. */
export const milliseconds = (time: number): string => written(time, { style: "unit", unit: "millisecond", maximumFractionDigits: 0 });

/** `40 sec`. */
export const seconds = (time: number): string => written(time, { style: "unit", unit: "second", maximumFractionDigits: 0 });

/** `45 mins`, `2.5 mins`; from two hours on `3.5 hrs`. */
export function duration(minutes: number): string {
  if (minutes >= 120) return written(minutes / 60, { style: "unit", unit: "hour", maximumFractionDigits: 1 });
  return written(minutes, { style: "unit", unit: "minute", maximumFractionDigits: minutes < 10 ? 1 : 0 });
}

/** The first ten characters of `sha256:…`, which is how people tell models apart. */
export const shortId = (id: string): string => id.replace(/^sha256:/, "").slice(0, 10);
