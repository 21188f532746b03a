import { type Ref, useEffect, useImperativeHandle, useRef } from "react";
import type { Defect } from "../api/words";
import { boxOf, centreOf, pathOf, pathOfBox } from "../geometry/frame";
import type { Outline } from "./drawing";
import { type Layer, layerOn, type Lie } from "./layer";
import { classColour } from "./palette";

export type Found = { defect: Defect; number: number };

type Props = {
  /** A new list is drawn anew; the same one is not. */
  defects: readonly Found[];
  frame: { width: number; height: number };
  chosen: number | null;
  filled: boolean;
  hidden: boolean;
  /** The viewer says through it where the frame lies. */
  move: Ref<(lie: Lie) => void>;
};

const pathFor = (defect: Defect): string => pathOf(defect.outline) || pathOfBox(boxOf(defect.bbox));

const outlineOf = ({ defect, number }: Found): Outline => {
  const { x, y, width, height } = boxOf(defect.bbox);
  return { number, path: pathFor(defect), box: [x, y, width, height], colour: classColour(defect.class_id), counts: defect.counts };
};

/**
 * The outlines of a view's defects. All are one picture, which moves with the frame and is drawn anew by a worker, so that a
 * thousand of them move as one does; the chosen one is a shape of its own over it.
 */
export function Overlay({ defects, frame, chosen, filled, hidden, move }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const layer = useRef<Layer | null>(null);
  const shape = useRef<SVGGElement>(null);
  const last = useRef<Lie | null>(null);
  const found = defects.find(({ number }) => number === chosen);

  const moveShape = () => {
    if (!last.current || !shape.current) return;
    const { x, y, scale } = last.current;
    shape.current.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
    const number = shape.current.querySelector<SVGGElement>(".number");
    number?.setAttribute("transform", `translate(${number.dataset["x"]} ${number.dataset["y"]}) scale(${1 / scale})`);
  };
  useImperativeHandle(move, () => (lie: Lie) => {
    last.current = lie;
    layer.current?.move(lie);
    moveShape();
  }, []);

  useEffect(() => {
    if (!canvas.current) return;
    const made = (layer.current = layerOn(canvas.current, (count, scale) => {
      if (place.current) Object.assign(place.current.dataset, { drawn: count, scale });
    }));
    if (last.current) made.move(last.current);
    return () => {
      layer.current = null;
      made.leave();
    };
  }, []);
  useEffect(() => layer.current?.show(defects.map(outlineOf), frame), [defects]);
  useEffect(() => layer.current?.wear(filled, chosen), [filled, chosen]);
  useEffect(moveShape);

  const box = found && boxOf(found.defect.bbox);
  return (
    <div ref={place} className="overlay" data-testid="overlay" data-filled={filled} data-hidden={hidden} aria-hidden="true">
      <canvas ref={canvas} />
      {found && box && (
        <svg>
          <g ref={shape} className="defect" data-chosen="true" data-counts={found.defect.counts}>
            <path d={pathFor(found.defect)} className="halo" />
            <path d={pathFor(found.defect)} className="line" stroke={classColour(found.defect.class_id)} fill={classColour(found.defect.class_id)} />
            <g className="number" data-x={centreOf(box)[0]} data-y={box.y}>
              <text textAnchor="middle" y={-9}>
                {found.number}
              </text>
              <path d="M-6 -6 0 0 6 -6" />
            </g>
          </g>
        </svg>
      )}
    </div>
  );
}
