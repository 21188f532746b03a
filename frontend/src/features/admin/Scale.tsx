import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useState } from "react";
import { type ProductView, useTarget } from "../../api/admin";
import { text } from "../../text";
import { percent } from "../../ui/format";
import { atView, type ByView, type Content, DEPTHS, withView } from "./rules";
import { words } from "./words";

/** Rows and columns of a target may differ by so much before lengths across the picture are not to be trusted. */
const CROOKED = 0.02;

type Props = { content: Content; views: readonly ProductView[]; setScale: (scales: ByView) => void; setDepth: (depths: ByView) => void };

/** What a view's pixels mean: millimetres, typed or measured on a chessboard target; and the depth of 16-bit pictures. */
export function Scale({ content, views, setScale, setDepth }: Props) {
  const [columns, setColumns] = useState("9");
  const [rows, setRows] = useState("6");
  const [square, setSquare] = useState("5");
  const sizes = { columns: Number(columns), rows: Number(rows), square_mm: Number(square.replace(",", ".")) };
  return (
    <>
      <p className="quiet">{words.products.scaleHelp}</p>
      <div className="inline">
        <TextInput size="xs" w={170} label={words.products.columns} inputMode="numeric" value={columns} onChange={(event) => setColumns(event.currentTarget.value)} />
        <TextInput size="xs" w={170} label={words.products.rows} inputMode="numeric" value={rows} onChange={(event) => setRows(event.currentTarget.value)} />
        <TextInput size="xs" w={170} label={words.products.square} inputMode="decimal" value={square} onChange={(event) => setSquare(event.currentTarget.value)} />
      </div>
      {views.map((view) => (
        <One key={`${view.station} ${view.view}`} view={view} sizes={sizes} now={atView(content.mm_per_px, view.station, view.view)}
          set={(mm) => setScale(withView(content.mm_per_px, view.station, view.view, mm, views))}
          bits={atView(content.camera_bits, view.station, view.view)} setBits={(bits) => setDepth(withView(content.camera_bits, view.station, view.view, bits, views))} />
      ))}
    </>
  );
}

type OneProps = { view: ProductView; sizes: { columns: number; rows: number; square_mm: number }; now: number | null; set: (mm: number | null) => void; bits: number | null; setBits: (bits: number | null) => void };

function One({ view, sizes, now, set, bits, setBits }: OneProps) {
  const target = useTarget();
  const name = `${view.station}: ${view.view || text.everywhere.view({ n: view.n + 1 })}`;
  const makesSense = sizes.columns >= 3 && sizes.rows >= 3 && sizes.square_mm > 0;
  return (
    <fieldset className="scale" aria-label={name}>
      <div className="inline">
        <strong>{name}</strong>
        <TextInput size="xs" w={120} type="number" min={0} step="any" label={words.products.mmPerPx} placeholder={words.products.notCalibrated} value={now ?? ""}
          onChange={(event) => set(event.currentTarget.valueAsNumber > 0 ? event.currentTarget.valueAsNumber : null)} />
        <Button size="xs" variant="default" disabled={!makesSense} loading={target.isPending} onClick={() => target.mutate({ inspection_id: view.inspection_id, n: view.n, ...sizes })}>
          {words.products.measureTarget}
        </Button>
        <NativeSelect size="xs" w={190} label={words.products.depth} value={bits ?? ""} onChange={(event) => setBits(Number(event.currentTarget.value) || null)}
          data={[{ value: "", label: words.products.depthUntold }, ...DEPTHS.map((depth) => ({ value: String(depth), label: String(depth) }))]} />
      </div>
      {target.error && (
        <p role="alert" className="problem">
          {target.error.message}
        </p>
      )}
      {target.data && (
        <p role="status">
          {words.products.found({ scale: target.data.mm_per_px.toPrecision(5), spread: percent(target.data.spread) })}{" "}
          <Button size="xs" color="dark" onClick={() => set(Number(target.data.mm_per_px.toPrecision(6)))}>
            {words.products.take}
          </Button>
          {target.data.spread > CROOKED && <strong className="note">{words.products.crooked}</strong>}
        </p>
      )}
    </fieldset>
  );
}
