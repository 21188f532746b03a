import { useEffect, useState } from "react";
import { connection } from "../api/connection";

/** The server's time in ms, by this computer's clock; drawn anew every second while `running`. */
export function useServerTime(running: boolean): number {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => tick((n) => n + 1), 1_000);
    return () => clearInterval(timer);
  }, [running]);
  return Date.now() + connection.ahead();
}

/** `4:05` until a moment given in ISO 8601; `0:00` from then on. */
export function left(until: string, now: number): string {
  const seconds = Math.max(0, Math.ceil((Date.parse(until) - now) / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
