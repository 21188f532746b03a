import { pictures } from "../../api/inspections";
import type { LabelTask } from "../../api/words";
import { text } from "../../text";
import { Crop } from "../../viewer/Crop";

/** Of a crop in the list, in CSS pixels: large enough to see a scratch of some pixels in a crop of 512. */
const WIDE = 208;

/** The very place that is to be labelled; the whole view small where its size is not known. */
export function TaskPicture({ task }: { task: LabelTask }) {
  const { inspection_id: id, n, crop, width, height } = task;
  if (width === null || height === null) return <img src={pictures.thumbnail(id, n, 320)} alt="" width={WIDE} loading="lazy" />;
  return (
    <Crop crop={crop} frame={{ width, height }} wide={WIDE} label={text.label.picture({ part: task.part })}
      tile={(level, column, row) => pictures.tile(id, n, level, column, row)} />
  );
}
