/** What a card says of how small a defect may be and still be found; cards of older models do not say. Pure. */

type Dict = Readonly<Record<string, unknown>>;
const dict = (value: unknown): Dict => (typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Dict) : {});
const number = (value: unknown): number | null => (typeof value === "number" ? value : null);

/** Probability of detection over length: `1 / (1 + exp(-(intercept + slope ln a)))`. Null: the defects seen cannot tell. */
export type Curve = {
  name: string;
  defects: number;
  hits: number;
  intercept: number | null;
  slope: number | null;
  a90: number | null;
  /** The length from which nine of ten are found with 95 % confidence. */
  a9095: number | null;
  note: string;
};
export type Detection = { unit: string; score: number | null; /** Shortest and longest defect seen. */ sizes: [number, number]; curves: Curve[] };
export type Miss = { image: string; className: string; length: number; foundAt: number | null };

/** All defects first, then every class that has any. */
export function detectionOf(figures: Dict): Detection | null {
  const told = dict(figures["detection"]);
  const sizes = Array.isArray(told["sizes"]) ? told["sizes"].map(number) : [];
  const [low, high] = [sizes[0] ?? null, sizes[1] ?? null];
  if (low === null || high === null || !(high > low) || !(low > 0)) return null;
  const curves = [curve("", told["all"]), ...Object.entries(dict(told["classes"])).map(([name, one]) => curve(name, one))];
  return { unit: String(told["unit"] ?? "px"), score: number(told["at_score"]), sizes: [low, high], curves: curves.filter((one) => one.defects > 0) };
}

function curve(name: string, value: unknown): Curve {
  const told = dict(value);
  return {
    name,
    defects: number(told["defects"]) ?? 0,
    hits: number(told["hits"]) ?? 0,
    intercept: number(told["intercept"]),
    slope: number(told["slope"]),
    a90: number(dict(told["a90"])["value"]),
    a9095: number(told["a90_95"]),
    note: String(told["note"] ?? ""),
  };
}

/** Points of a curve over equal steps of the logarithm of length, within the sizes seen; none where it is not known. */
export function points({ intercept, slope }: Curve, [low, high]: readonly [number, number], count = 40): [number, number][] {
  if (intercept === null || slope === null) return [];
  return Array.from({ length: count + 1 }, (_, place) => {
    const size = low * (high / low) ** (place / count);
    return [size, 1 / (1 + Math.exp(-(intercept + slope * Math.log(size))))];
  });
}

/** Defects that nobody was told of, longest first; null where the card does not say. */
export function missesOf(figures: Dict): Miss[] | null {
  const told = figures["misses"];
  if (!Array.isArray(told)) return null;
  return told.map(dict).map((one) => ({
    image: String(one["image"] ?? ""),
    className: String(one["class"] ?? ""),
    length: number(one["length_px"]) ?? 0,
    foundAt: number(one["found_at"]),
  }));
}
