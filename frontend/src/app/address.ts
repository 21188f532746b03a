/**
 * A piece of an address, counted from 1: `segment("/models/a%3Ab", 2)` is `a:b`. The router's own parameters keep what
 * `decodeURI` keeps (`%2F`, `%3A`, `%23`), and people do name a batch `heat 7/a`. Pure.
 */
export function segment(path: string, n: number): string | undefined {
  const raw = path.split("/")[n];
  if (!raw) return undefined;
  try {
    return decodeURIComponent(raw);
  } catch {
    return raw; // typed by hand
  }
}
