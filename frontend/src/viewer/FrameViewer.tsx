import OpenSeadragon from "openseadragon";
import { useEffect, useRef } from "react";
import { type FrameBox, lookAt } from "../geometry/frame";
import { framePx } from "../geometry/units";
import type { Lie } from "./layer";
import { Loupe, placeOf } from "./Loupe";
import { type Found, Overlay } from "./Overlay";

/** The server's tiles (see its route): 512 px, no overlap. */
const TILE = 512;

/** Zooming to a defect shows at least so many frame pixels: a speck without its surroundings says nothing. */
const LEAST_SHOWN = framePx(160);

export type Look = { box: FrameBox | null; /** Changes with every wish, so that the same place can be asked again. */ wish: number };

type Props = {
  /** Names the picture; a new one is opened when it changes. */
  source: string;
  width: number;
  height: number;
  thumbnail: string;
  tile: (level: number, column: number, row: number) => string;
  label: string;
  /** The same list for as long as nothing changes in it. */
  defects: readonly Found[];
  chosen: number | null;
  look: Look;
  filled: boolean;
  hidden: boolean;
  /** A magnifier lies under the pointer; without one, on the chosen defect or the middle, and arrow keys move it. */
  loupe: boolean;
  onTouched: () => void;
};

/** One picture of a part with its defects; wheel or pinch zooms, dragging moves. Thumbnail first, then tiles. */
export function FrameViewer(props: Props) {
  const place = useRef<HTMLDivElement>(null);
  const moved = useRef<(lie: Lie) => void>(null);
  const viewer = useRef<OpenSeadragon.Viewer | null>(null);
  const pointer = useRef<readonly [number, number] | null>(null);
  const latest = useRef(props);
  latest.current = props;

  const follow = useRef(() => {
    const open = viewer.current;
    if (!open?.viewport || open.world.getItemCount() === 0) return;
    const item = open.world.getItemAt(0);
    const { x, y } = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(0, 0));
    const far = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(latest.current.width, 0));
    const { x: wide, y: high } = open.viewport.getContainerSize();
    moved.current?.({ x, y, scale: (far.x - x) / latest.current.width, wide, high });
  });

  const show = useRef((gently: boolean) => {
    const item = viewer.current?.world.getItemAt(0);
    if (!viewer.current || !item) return;
    const { look, width, height } = latest.current;
    if (!look.box) return void viewer.current.viewport.goHome(!gently);
    const box = lookAt(look.box, { width: framePx(width), height: framePx(height) }, LEAST_SHOWN);
    const bounds = item.imageToViewportRectangle(box.x, box.y, box.width, box.height);
    viewer.current.viewport.fitBounds(bounds, !gently);
  });

  useEffect(() => {
    if (!place.current) return;
    const made = OpenSeadragon({
      element: place.current,
      drawer: "canvas",
      showNavigationControl: false,
      animationTime: 0.25,
      maxZoomPixelRatio: 16,
      imageSmoothingEnabled: false,
      visibilityRatio: 0.5,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      crossOriginPolicy: false,
    });
    viewer.current = made;
    const update = () => follow.current();
    for (const name of ["open", "animation", "resize", "update-viewport"] as const) made.addHandler(name, update);
    made.addHandler("open", () => show.current(false));
    made.addHandler("canvas-key", (event) => void (event.preventDefaultAction = true)); // keys belong to the page
    made.addHandler("canvas-press", () => latest.current.onTouched());
    made.addHandler("canvas-scroll", () => latest.current.onTouched());
    made.addHandler("tile-drawn", () => place.current?.style.removeProperty("background-image"));
    return () => {
      viewer.current = null;
      made.destroy();
    };
  }, []);

  useEffect(() => {
    const { width, height, thumbnail, tile } = latest.current;
    if (!viewer.current || !place.current) return;
    place.current.style.backgroundImage = `url("${thumbnail}")`;
    // Levels below 8 are less than 256 px: the thumbnail is already sharper.
    viewer.current.open({ width, height, tileSize: TILE, tileOverlap: 0, minLevel: 8, getTileUrl: tile } as never);
  }, [props.source]);

  useEffect(() => show.current(true), [props.look]);

  const item = () => viewer.current?.world.getItemAt(0);
  const toFrame = (x: number, y: number): readonly [number, number] | null => {
    const found = item()?.viewerElementToImageCoordinates(new OpenSeadragon.Point(x, y));
    return found ? [found.x, found.y] : null;
  };
  const toScreen = (x: number, y: number): readonly [number, number] | null => {
    const found = item()?.imageToViewerElementCoordinates(new OpenSeadragon.Point(x, y));
    return found ? [found.x, found.y] : null;
  };
  return (
    <div className="viewer" role="img" aria-label={props.label} onPointerMove={(event) => (pointer.current = placeOf(event))} onPointerLeave={() => (pointer.current = null)}>
      <div className="viewer-picture" ref={place} />
      <Overlay defects={props.defects} frame={props} chosen={props.chosen} filled={props.filled} hidden={props.hidden} move={moved} />
      {props.loupe && <Loupe picture={props} pointer={pointer.current} toFrame={toFrame} toScreen={toScreen} />}
    </div>
  );
}
