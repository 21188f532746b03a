import { useState } from "react";
import { useDifference, useGood } from "../../api/comparing";
import { pictures } from "../../api/inspections";
import type { Exposure, Inspection } from "../../api/words";
import { boxOf, type FrameBox, lookAt } from "../../geometry/frame";
import { framePx } from "../../geometry/units";
import { text } from "../../text";
import { dayAndTime } from "../../ui/format";
import { waiting } from "../../ui/States";
import { Crop } from "../../viewer/Crop";

/** Around a defect at least so many frame pixels are compared. */
const LEAST = framePx(320);
/** Width of each picture on the screen, in CSS px. */
const WIDE = 336;

/** This part, the last good one, and where they differ; or that there is none to compare with. */
export function Difference({ inspection, n, defect }: { inspection: Inspection; n: number; defect: readonly number[] | null }) {
  const [near, setNear] = useState(defect !== null);
  const [chosen, setChosen] = useState(n);
  const good = useGood(inspection.id, chosen);
  const image = inspection.images.find((one) => one.n === chosen);
  const state = waiting(good);
  if (!image) return null;
  const frame = { width: framePx(image.width), height: framePx(image.height) };
  const around = near && defect && chosen === n;
  const box = around ? lookAt(boxOf(defect), frame, LEAST) : boxOf([0, 0, image.width, image.height]);
  const words = text.difference;
  return (
    <div className="difference">
      <p className="difference-choice">
        {inspection.images.length > 1 &&
          inspection.images.map((one) => (
            <button key={one.n} type="button" className="link" aria-pressed={one.n === chosen} onClick={() => setChosen(one.n)}>
              {one.view || text.everywhere.view({ n: one.n + 1 })}
            </button>
          ))}
        {defect && chosen === n && (
          <button type="button" className="link" aria-pressed={near} onClick={() => setNear(!near)}>
            {words.near}
          </button>
        )}
      </p>
      {state ?? (good.data ? <Compared inspection={inspection} image={image} good={good.data} box={box} /> : <p>{words.none}</p>)}
    </div>
  );
}

type Good = NonNullable<ReturnType<typeof useGood>["data"]>;

function Compared({ inspection, image, good, box }: { inspection: Inspection; image: Exposure; good: Good; box: FrameBox }) {
  const difference = useDifference(inspection.id, image.n, good, box);
  const words = text.difference;
  const crop = [box.x, box.y, box.width, box.height];
  const tiles = (id: string, n: number) => (level: number, column: number, row: number) => pictures.tile(id, n, level, column, row);
  return (
    <>
      <div className="difference-pictures">
        <figure>
          <Crop crop={crop} frame={image} wide={WIDE} label={inspection.part} tile={tiles(inspection.id, image.n)} />
          <figcaption>{inspection.part}</figcaption>
        </figure>
        <figure>
          <Crop crop={crop} frame={image} wide={WIDE} label={good.part} tile={tiles(good.inspection_id, good.n)} />
          <figcaption>
            {good.part}, {dayAndTime(good.received_at)} · {good.confirmed_by ? words.confirmed({ by: good.confirmed_by }) : words.model}
          </figcaption>
        </figure>
        <figure>
          {waiting(difference) ?? <img src={difference.data?.picture} alt={words.alt} style={{ width: WIDE }} />}
          <figcaption>{words.title}</figcaption>
        </figure>
      </div>
      {difference.data && <p className={difference.data.laid === "registered" ? "quiet" : undefined}>{words[difference.data.laid]}</p>}
      <p className="quiet">{words.help}</p>
    </>
  );
}
