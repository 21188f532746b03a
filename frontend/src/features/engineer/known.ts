/** What a fit says of its process, read from the server's report. Older reports lack some of it: what is not there is not said. Pure. */

type Dict = Readonly<Record<string, unknown>>;

const dict = (value: unknown): Dict => (typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Dict) : {});
const number = (value: unknown): number | null => (typeof value === "number" ? value : null);

export type Known = {
  parts: number | null;
  /** Outcomes told since the fit; `promised` and `kept` are mean chance and share that conformed. */
  promises: { finished: number; promised: number; kept: number; withdrawn: boolean } | null;
  /** Share of held-out readings inside their 90 % interval, before and after the intervals were widened. */
  coverage: { fitted: number; widened: number } | null;
  notIdentified: string[];
  settings: number;
  /** Where a step's offset stands now, against its average over the history, in units of what it acts on. */
  drifting: { step: string; acts: { name: string; by: number }[] }[];
  /** Cpk of the least capable reading; null where none is known. */
  leastCpk: number | null;
};

export function known(report: Dict): Known {
  const history = dict(report["history"]);
  const told = dict(report["promises"]);
  const cover = dict(dict(report["check"])["coverage90"]);
  const [finished, promised, kept] = [told["finished"], told["promised"], told["kept"]].map(number);
  const [fitted, widened] = [cover["as_fitted"], cover["widened"]].map(number);
  const steps = Array.isArray(report["steps"]) ? report["steps"].map(dict) : [];
  const lost = report["not_identified"];
  const readings = Object.values(dict(dict(history["capability"])["readings"]));
  const cpks = readings.map((found) => number(dict(found)["cpk"])).filter((cpk) => cpk !== null);
  return {
    parts: number(history["parts"]),
    promises: finished && promised != null && kept != null ? { finished, promised, kept, withdrawn: told["withdrawn"] === true } : null,
    coverage: fitted != null && widened != null ? { fitted, widened } : null,
    notIdentified: Array.isArray(lost) ? lost.map(String) : [],
    settings: steps.reduce((sum, step) => sum + (Array.isArray(step["effects"]) ? step["effects"].length : 0), 0),
    drifting: Object.entries(dict(history["drift"])).map(([step, moved]) => ({
      step,
      acts: Object.entries(dict(moved)).flatMap(([name, by]) => (typeof by === "number" ? [{ name, by }] : [])),
    })),
    leastCpk: cpks.length > 0 ? Math.min(...cpks) : null,
  };
}
