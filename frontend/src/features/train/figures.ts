/** A model's figures as rows to show: nested objects flattened, names made readable. Pure. */

export type Row = { name: string; values: (string | null)[] };

const readable = (name: string): string => name.replaceAll("_", " ").replaceAll(".", " · ");

function flat(figures: unknown, prefix = ""): [string, string][] {
  if (typeof figures !== "object" || figures === null) return [];
  return Object.entries(figures).flatMap(([key, value]): [string, string][] => {
    const name = prefix ? `${prefix}.${key}` : key;
    if (typeof value === "number") return [[name, Number.isInteger(value) ? String(value) : value.toFixed(3)]];
    if (isMeasured(value)) return [[name, `${value.value.toFixed(3)} (${value.low.toFixed(3)} to ${value.high.toFixed(3)})`]];
    return Array.isArray(value) ? [] : flat(value, name);
  });
}

type Measured = { value: number; low: number; high: number };

function isMeasured(value: unknown): value is Measured {
  const one = value as Partial<Measured> | null;
  return typeof one === "object" && one !== null && [one.value, one.low, one.high].every((part) => typeof part === "number");
}

/** One row for each figure that any of the models has, in the order in which they come. */
export function sideBySide(models: readonly unknown[]): Row[] {
  const columns = models.map((figures) => new Map(flat(figures)));
  const names = [...new Set(columns.flatMap((column) => [...column.keys()]))];
  return names.map((name) => ({ name: readable(name), values: columns.map((column) => column.get(name) ?? null) }));
}
