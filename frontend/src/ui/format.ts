/** Numbers and times as people read them. Pure. */

/** `14:03:22` of a moment given in ISO 8601, in the reader's own time zone. */
export const clock = (iso: string): string =>
  new Date(iso).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** `21 Nov, 14:03`. */
export const dayAndTime = (iso: string): string =>
  new Date(iso).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** How long before `now` (both in ms): `5 s`, `12 min`, `3 h`, `2 d`. */
export function ago(iso: string, now: number): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(iso)) / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/** A share of one as `93 %`; near the ends with the decimals that still tell them apart from certainty. */
export function percent(share: number): string {
  const value = 100 * share;
  if (value > 0 && value < 1) return `${value < 0.1 ? "< 0.1" : value.toFixed(1)} %`;
  if (value < 100 && value > 99) return `${value > 99.9 ? "> 99.9" : value.toFixed(1)} %`;
  return `${Math.round(value)} %`;
}

/** `31.20 EUR`, `−12.00 EUR`, `12,400 EUR`: cents below a thousand. A true minus sign lines up with figures. */
export function money(amount: number, currency: string): string {
  const cents = Math.abs(amount) < 1000 ? 2 : 0;
  const figures = Math.abs(amount).toLocaleString("en-GB", { minimumFractionDigits: cents, maximumFractionDigits: cents });
  return `${amount < 0 ? "−" : ""}${figures} ${currency}`.trim();
}

/** A setting or a reading: four significant figures, no trailing noise. */
export function figure(value: number): string {
  if (value === 0) return "0";
  const text = Math.abs(value) >= 1000 ? Math.round(value).toString() : Number(value.toPrecision(4)).toString();
  return text.replace("-", "−");
}

/** `+2.1`, `−0.4`: a change, with its sign always. */
export const change = (value: number): string => (value > 0 ? `+${figure(value)}` : figure(value));

/** The first ten characters of `sha256:…`, which is how people tell models apart. */
export const shortId = (id: string): string => id.replace(/^sha256:/, "").slice(0, 10);

/** `1 part`, `3 parts`. */
export const count = (number: number, word: string): string => `${number} ${word}${number === 1 ? "" : "s"}`;
