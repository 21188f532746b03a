/** A UUID of version 7 (RFC 9562) made at a moment in ms: ids sort by when they were made, to the millisecond. Pure. */
export function uuid7(at: number, random: Uint8Array): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  const [a = 0, b = 0, c = 0, ...rest] = random;
  const time = hex(Math.floor(at), 12);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(((a << 8) | b) & 0xfff, 3)}-${hex(0x80 | (c & 0x3f), 2)}${hex(rest[0] ?? 0, 2)}-${rest.slice(1, 7).map((byte) => hex(byte, 2)).join("")}`;
}

/** Random bytes that `uuid7` needs. */
export const UUID7_BYTES = 10;
