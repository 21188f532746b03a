import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useRef, useState } from "react";
import type { ProductView } from "../../api/admin";
import { pictures } from "../../api/inspections";
import { text } from "../../text";
import { RuleForm, Limit } from "./RuleForm";
import { type Box, boxBetween, type Content, corners, type Zone } from "./rules";
import { words } from "./words";

type Point = [number, number];
type Props = { content: Content; views: readonly ProductView[]; classes: readonly string[]; set: (zones: Zone[]) => void };

const nameOf = (view: Pick<ProductView, "station" | "view" | "n">): string => `${view.station}: ${view.view || text.everywhere.view({ n: view.n + 1 })}`;

/** Zones, drawn on the newest picture of a view; their places can be typed as well. */
export function Zones({ content, views, classes, set }: Props) {
  const [at, setAt] = useState(0);
  const zones = content.zones ?? [];
  const view = views[at] ?? views[0];
  if (!view) return <p className="quiet">{words.products.noViews}</p>;
  const change = (place: number, next: Zone) => set(zones.map((one, n) => (n === place ? next : one)));
  const harmless = Object.fromEntries(classes.map((name) => [name, { ng: "never" as const, review: "never" as const }]));
  const add = (box: Box) => set([...zones, { name: `zone-${zones.length + 1}`, ...(view.view ? { view: view.view } : {}), box, classes: harmless }]);
  return (
    <>
      <p className="quiet">{words.products.zonesHelp}</p>
      <NativeSelect size="xs" w={260} label={words.products.view} value={String(views.indexOf(view))} data={views.map((one, n) => ({ value: String(n), label: nameOf(one) }))}
        onChange={(event) => setAt(Number(event.currentTarget.value))} />
      <Drawing view={view} zones={zones} draw={add} />
      <Button size="xs" variant="default" onClick={() => add([0, 0, Math.round(view.width / 4), Math.round(view.height / 4)])}>
        {words.add}
      </Button>
      {zones.map((zone, place) => (
        <fieldset key={place} className="zone" aria-label={words.products.zone({ name: zone.name ?? String(place + 1) })}>
          <div className="inline">
            <TextInput size="xs" label={words.products.zoneName} value={zone.name ?? ""} maxLength={64} onChange={(event) => change(place, { ...zone, name: event.currentTarget.value })} />
            <NativeSelect size="xs" label={words.products.view} value={zone.view ?? ""} data={[{ value: "", label: words.products.everyView }, ...new Set([...views.map((one) => one.view), zone.view ?? ""].filter(Boolean))]}
              onChange={(event) => change(place, { ...zone, view: event.currentTarget.value || null })} />
            {zone.box
              ? (["x", "y", "width", "height"] as const).map((side, n) => (
                  <Limit key={side} shown label={words.products.place[side]} value={zone.box?.[n] ?? 0} set={(value) => change(place, { ...zone, box: (zone.box ?? [0, 0, 0, 0]).map((old, m) => (m === n ? Math.round(value) : old)) as Box })} />
                ))
              : <span>{words.products.polygon({ n: zone.polygon?.length ?? 0 })}</span>}
            <Button size="xs" variant="default" aria-label={`${words.remove}: ${zone.name ?? place + 1}`} onClick={() => set(zones.filter((_, n) => n !== place))}>
              {words.remove}
            </Button>
          </div>
          {Object.entries(zone.classes ?? {}).map(([name, rule]) => (
            <div key={name} className="class-row">
              <strong>{name}</strong>
              <RuleForm name={`${name}, ${zone.name ?? place + 1}`} rule={rule} set={(next) => change(place, { ...zone, classes: { ...zone.classes, [name]: next } })} />
            </div>
          ))}
          <div className="inline">
            {classes.filter((name) => !(name in (zone.classes ?? {}))).map((name) => (
              <Button key={name} size="compact-xs" variant="default" onClick={() => change(place, { ...zone, classes: { ...zone.classes, [name]: { ng: {}, review: {} } } })}>
                {words.products.own({ name })}
              </Button>
            ))}
            <Button size="compact-xs" variant="default" onClick={() => change(place, { ...zone, classes: harmless })}>
              {words.products.harmless}
            </Button>
          </div>
        </fieldset>
      ))}
    </>
  );
}

/** The picture with its zones. Dragging from corner to corner draws one. */
function Drawing({ view, zones, draw }: { view: ProductView; zones: readonly Zone[]; draw: (box: Box) => void }) {
  const place = useRef<SVGSVGElement>(null);
  const [from, setFrom] = useState<Point | null>(null);
  const [to, setTo] = useState<Point | null>(null);
  const point = (event: React.PointerEvent): Point => {
    const seen = place.current?.getBoundingClientRect();
    if (!seen) return [0, 0];
    return [((event.clientX - seen.left) / seen.width) * view.width, ((event.clientY - seen.top) / seen.height) * view.height];
  };
  const drawn = from && to ? boxBetween(from, to, view.width, view.height) : null;
  const end = () => {
    if (drawn) draw(drawn);
    setFrom(null);
    setTo(null);
  };
  return (
    <svg ref={place} className="zones" viewBox={`0 0 ${view.width} ${view.height}`} role="img" aria-label={words.products.newest({ view: nameOf(view) })} data-drawing={from !== null}
      onPointerDown={(event) => (event.currentTarget.setPointerCapture(event.pointerId), setFrom(point(event)), setTo(null))}
      onPointerMove={(event) => from && setTo(point(event))} onPointerUp={end} onPointerCancel={() => (setFrom(null), setTo(null))}>
      <image href={pictures.thumbnail(view.inspection_id, view.n, 1024)} width={view.width} height={view.height} />
      {zones.filter((zone) => !zone.view || zone.view === view.view).map((zone, n) => (
        <g key={n}>
          <polygon className="halo" points={corners(zone).join(" ")} />
          <polygon points={corners(zone).join(" ")} />
          <text x={corners(zone)[0]?.[0]} y={corners(zone)[0]?.[1]} dx={view.width / 160} dy={view.width / 40} fontSize={view.width / 45}>
            {zone.name}
          </text>
        </g>
      ))}
      {drawn && <polygon className="fresh" points={corners({ box: drawn }).join(" ")} />}
    </svg>
  );
}
