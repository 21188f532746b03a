import type { Where } from "../../api/shadow";
import { words } from "../../text/desk";

/** Where another model serves than the one for all: a product, a station, or a product at a station. */
export const whereOf = ({ product, station }: Where): string => (product && station ? words.places.at({ product, station }) : product || station);
