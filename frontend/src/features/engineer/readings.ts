import type { Measurement, Process, Setting, Step } from "../../api/words";

/** The step and the setting or measurement that `step.name` means; undefined where the process has none of that name. */
export function find(process: Process, name: string): { step: Step; setting?: Setting; measurement?: Measurement } | undefined {
  for (const step of process.steps) {
    if (!name.startsWith(`${step.name}.`)) continue;
    const rest = name.slice(step.name.length + 1);
    const setting = step.settings?.[rest];
    const measurement = step.measurements?.[rest];
    if (setting) return { step, setting };
    if (measurement) return { step, measurement };
  }
  return undefined;
}

/** The unit in which a characteristic is read, at the first step that reads it; empty where it has none. */
export function unitOf(process: Process, characteristic: string): string {
  for (const step of process.steps) {
    const unit = step.measurements?.[characteristic]?.unit;
    if (unit) return unit;
  }
  return "";
}

export type Beyond = { name: string; value: number; limit: number; by: number; above: boolean; unit: string };

/** Readings outside of their limits, the worst first: by how much of the width between the limits. */
export function beyondLimits(process: Process, observed: Readonly<Record<string, number>>): Beyond[] {
  const found: { reading: Beyond; share: number }[] = [];
  for (const [name, value] of Object.entries(observed)) {
    const limits = find(process, name)?.measurement;
    if (!limits || value === null) continue;
    const { lower, upper, unit = "" } = limits;
    const limit = lower != null && value < lower ? lower : upper != null && value > upper ? upper : null;
    if (limit === null) continue;
    const width = lower != null && upper != null ? upper - lower : Math.max(Math.abs(limit), 1e-9);
    const reading = { name, value, limit, by: value - limit, above: value > limit, unit };
    found.push({ reading, share: Math.abs(value - limit) / width });
  }
  return found.sort((a, b) => b.share - a.share).map(({ reading }) => reading);
}

export type Fate = "in" | "out" | "scrapped" | "unknown";

/** What came of a part: within its limits at the end or not, as `conformance` says; unknown where a reading is missing. */
export function fate(process: Process, outcome: { disposition: string; observed: Record<string, number> }): Fate {
  if (outcome.disposition === "scrapped") return "scrapped";
  const missing = process.conformance.some((name) => outcome.observed[name] === undefined);
  if (missing) return "unknown";
  const final = Object.fromEntries(process.conformance.map((name) => [name, outcome.observed[name] ?? 0]));
  return beyondLimits(process, final).length === 0 ? "in" : "out";
}
