import type { Dictionary } from "../dictionary";
import { office } from "./office";
import { station } from "./station";

export const es: Dictionary = { ...station, ...office };
