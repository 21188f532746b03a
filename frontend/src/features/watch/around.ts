import type { Alarm } from "../../api/words";
import { worstImage } from "../../ui/worst";

/** A camera that was sent without a name for its view is called `#0`, `#1`, … by its place; any other by its name. */
const UNNAMED = /^#(\d+)$/;

/** The view that a camera's alarm is about, as the images call it; null: the alarm is about a whole station. */
export function viewOf(alarm: Pick<Alarm, "figures">): { name: string; n: number | null } | null {
  const view = alarm.figures["view"];
  if (typeof view !== "string") return null;
  const unnamed = UNNAMED.exec(view);
  return unnamed ? { name: "", n: Number(unnamed[1]) } : { name: view, n: null };
}

/** Which image of a part to show for an alarm: of the camera it is about, or the one most likely to show a defect. */
export function imageFor(images: readonly { n: number; view: string; score: number | null }[], alarm: Pick<Alarm, "figures">): number {
  const view = viewOf(alarm);
  const own = view && images.find((image) => (view.n === null ? image.view === view.name : image.n === view.n));
  if (own) return own.n;
  return worstImage(images);
}
