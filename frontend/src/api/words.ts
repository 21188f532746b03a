/** The server's words under short names. All come from `schema.d.ts`, which `npm run api` makes from `openapi.json`. */

import type { components } from "./schema";

type Schemas = components["schemas"];

export type Inspection = Schemas["InspectionOut"];
export type Exposure = Schemas["ImageOut"];
export type Defect = Schemas["DefectOut"];
export type Verdict = NonNullable<Inspection["verdict"]>;
export type Who = Schemas["Who"];
export type LabelTask = Schemas["LabelTaskJson"];
export type Model = Schemas["ModelJson"];
export type Card = Schemas["CardJson"];
export type Job = Schemas["JobJson"];
export type Summary = Schemas["Summary"];
export type Agreement = Schemas["FigureJson"];
export type Labeller = Schemas["LabellerJson"];
export type Work = Schemas["WorkJson"];
export type Standing = Schemas["StandingJson"];
export type Disagreement = Schemas["Disagreement"];
export type Month = Schemas["MoneyJson"];
export type Wrong = Schemas["WrongJson"];
export type Alarm = Schemas["AlarmJson"];
export type Call = Schemas["CallJson"];
export type Wall = Schemas["Wall"];
export type WallStation = Schemas["WallStation"];
export type Trend = Schemas["Trend"];
export type Lever = Schemas["LeverJson"];
export type Levers = Schemas["LeversJson"];
export type Promises = Schemas["PromisesJson"];
export type Kept = Schemas["OfDecision"] | Schemas["OfChance"];
export type BeforeAndAfter = Schemas["BeforeAndAfter"];
export type Capability = Schemas["Capability"];
export type Worth = Schemas["WorthJson"];
export type Exploring = Schemas["ExploringJson"];
export type Wondered = Schemas["Wondered"];
export type Expected = Schemas["Expected"];
export type CameraFault = "black" | "white" | "frozen" | "blurred" | "exposure" | "shifted" | "dirty";

/** A process as its YAML says it (contract, section 5). */
export type Process = {
  name: string;
  currency: string;
  part: { value: number; scrap: number; escape: number };
  conformance: string[];
  steps: Step[];
  /** What is allowed while it is served; nothing unless it is written there. */
  serving?: {
    explore?: { price: number; chance: number; steps?: string[] };
    trial?: { name?: string; share?: number; loss?: number; always?: boolean };
  };
};
export type Step = {
  name: string;
  partner?: string | null;
  factory?: string | null;
  cost?: number;
  optional?: boolean;
  settings?: Record<string, Setting>;
  measurements?: Record<string, Measurement>;
};
export type Setting = { unit?: string; low: number; high: number; nominal: number; change_cost?: number };
export type Measurement = { unit?: string; lower?: number | null; upper?: number | null; gauge_sd?: number | null };

/** What the plan says about a part (contract, section 6). */
export type Decision = "continue" | "correct" | "scrap" | "measure" | "abstain";
export type Advice = {
  part: string;
  at: string;
  decision: Decision;
  settings: Record<string, number>;
  run: string[];
  measure: string[];
  p_conform: number | null;
  p_conform_interval: [number, number] | null;
  expected_value: number | null;
  /** How long the steps still to come take; null where the process does not say, left out by older advice. */
  minutes?: number | null;
  value_if_continued: number | null;
  value_if_scrapped: number | null;
  causes: { step: string; share: number }[];
  alternatives: Partial<Advice>[];
  /** Every reading still possible, the one that adds most beyond its cost first; older advice has none. */
  readings?: { reading: string; again: boolean; cost: number; value: number }[];
  reason: string;
  model: string;
  elapsed_ms: number;
};
export type Outcome = {
  disposition: "finished" | "scrapped";
  scrapped_at?: string | null;
  observed: Record<string, number>;
};
export type Recommendation = {
  id: string;
  part: string;
  at: string;
  asked_at: string;
  request: { part: string; at: string; observed?: Record<string, number>; batch?: string };
  answer: Advice;
  outcome: Outcome | null;
  permission: Schemas["PermissionJson"];
};
