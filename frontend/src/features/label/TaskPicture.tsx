import { pictures } from "../../api/inspections";
import type { LabelTask } from "../../api/words";
import { text } from "../../text";
import { Crop } from "../../viewer/Crop";

/** Of a crop in the list, the longer side in CSS pixels: large enough to see a scratch of some pixels in a crop of 512. */
const LONG = 208;

/** The very place that is to be labelled; the whole view small where its size is not known. */
export function TaskPicture({ task }: { task: LabelTask }) {
  const { inspection_id: id, n, crop, width, height } = task;
  const [, , across = 1, down = 1] = crop;
  const wide = Math.round(LONG * Math.min(1, across / down));
  if (width === null || height === null) return <img src={pictures.thumbnail(id, n, 320)} alt="" width={LONG} loading="lazy" />;
  return (
    <Crop crop={crop} frame={{ width, height }} wide={wide} label={text.label.picture({ part: task.part })}
      tile={(level, column, row) => pictures.tile(id, n, level, column, row)} />
  );
}
