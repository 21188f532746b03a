import { boxOf } from "../geometry/frame";
import { tilesFor } from "../geometry/tiles";
import { framePx, screenPx } from "../geometry/units";

/** Screens of two pixels a pixel are common: a hair-thin scratch is to be sharp on them too. */
const DENSE = 2;

type Props = {
  /** x, y, width, height in frame pixels. */
  crop: readonly number[];
  frame: { width: number; height: number };
  tile: (level: number, column: number, row: number) => string;
  /** Width on the screen in CSS pixels; the height follows the crop. */
  wide: number;
  label: string;
};

/** A part of a frame as a still picture, from the zoom tiles that are there anyway. */
export function Crop({ crop, frame, tile, wide, label }: Props) {
  const box = boxOf(crop);
  const tiles = tilesFor(box, { width: framePx(frame.width), height: framePx(frame.height) }, screenPx(wide * DENSE));
  const percent = (share: number) => `${100 * share}%`;
  return (
    <span className="crop" role="img" aria-label={label} style={{ width: wide, aspectRatio: `${box.width} / ${box.height}` }}>
      {tiles.map(({ level, column, row, left, top, width, height }) => (
        <img key={`${column}_${row}`} src={tile(level, column, row)} alt="" loading="lazy"
          style={{ left: percent(left), top: percent(top), width: percent(width), height: percent(height) }} />
      ))}
    </span>
  );
}
