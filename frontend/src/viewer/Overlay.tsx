import type { Ref } from "react";
import type { Defect } from "../api/words";
import { boxOf, centreOf, pathOf, pathOfBox } from "../geometry/frame";
import { classColour } from "./palette";

/** Numbers are drawn beside so many defects; beyond that they would hide the part. */
const NUMBERED = 40;

type Props = {
  defects: readonly { defect: Defect; number: number }[];
  chosen: number | null;
  filled: boolean;
  hidden: boolean;
  /** The group that the viewer moves with the picture: its children are drawn in frame pixels. */
  moved: Ref<SVGGElement>;
};

/**
 * The outlines of a view's defects. Lines keep their width on the screen whatever the zoom; each is drawn over a dark
 * one, so that it is seen on bright and on dark metal. Moving and zooming change one transform, never a path.
 */
export function Overlay({ defects, chosen, filled, hidden, moved }: Props) {
  return (
    <svg className="overlay" data-testid="overlay" data-filled={filled} data-hidden={hidden} aria-hidden="true">
      <g ref={moved}>
        {defects.map(({ defect, number }) => {
          const box = boxOf(defect.bbox);
          const [x] = centreOf(box);
          const path = pathOf(defect.outline) || pathOfBox(box);
          return (
            <g key={number} className="defect" data-chosen={number === chosen} data-counts={defect.counts}>
              <path d={path} className="halo" />
              <path d={path} className="line" stroke={classColour(defect.class_id)} fill={classColour(defect.class_id)} />
              {number <= NUMBERED && (
                <g className="number" data-x={x} data-y={box.y}>
                  <text textAnchor="middle" y={-9}>
                    {number}
                  </text>
                  {number === chosen && <path d="M-6 -6 0 0 6 -6" />}
                </g>
              )}
            </g>
          );
        })}
      </g>
    </svg>
  );
}
