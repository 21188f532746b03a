import type { Part } from "../../api/parts";

/** A part's defects on one of its views: which of the part's defects each of the image's own defects is. */
export type Here = { number: number; defect: number; counts: boolean };

/** The part's defects that a view shows, with the place of each among the image's own. */
export const shownOn = (part: Part, view: number): Here[] =>
  part.defects.flatMap((joined) =>
    joined.sightings
      .filter((sighting) => sighting.view === view)
      .map((sighting) => ({ number: joined.number, defect: sighting.defect, counts: joined.verdict !== "ok" })),
  );

/** What a view has to do with one of the part's defects. */
export type Share = "shows" | "shows somewhere" | "silent" | "elsewhere";

/** Whether a view shows a defect, by its place or only its class; is silent where it might have; or does not reach it. */
export function shareOf(part: Part, number: number, view: number): Share {
  const joined = part.defects.find((one) => one.number === number);
  const sighting = joined?.sightings.find((one) => one.view === view);
  if (sighting) return sighting.by_place ? "shows" : "shows somewhere";
  return joined?.silent.includes(view) ? "silent" : "elsewhere";
}
