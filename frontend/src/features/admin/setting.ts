import type { Plain, Setting } from "../../api/admin";

/** A value as a field shows it. */
export const shown = (value: Plain): string => (value === null ? "" : String(value));

/** What was typed, as the server takes it: null for an empty number (the default), undefined where it makes no sense. */
export function read(setting: Pick<Setting, "kind" | "least" | "most" | "above">, typed: string): Plain | undefined {
  if (setting.kind === "yes_no") return typed === "true";
  if (setting.kind !== "number" && setting.kind !== "whole") return typed.trim();
  if (typed.trim() === "") return null;
  const value = Number(typed.replace(",", "."));
  const inside = value >= (setting.least ?? -Infinity) && value <= (setting.most ?? Infinity) && value > (setting.above ?? -Infinity);
  return Number.isFinite(value) && inside && (setting.kind === "number" || Number.isInteger(value)) ? value : undefined;
}
