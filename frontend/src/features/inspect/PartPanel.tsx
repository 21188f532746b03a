import { useEffect, useMemo, useRef, useState } from "react";
import { saidLast, useSay } from "../../api/inspections";
import { connection } from "../../api/connection";
import { type Saying, useOutbox, verdictOf } from "../../api/outbox";
import { useSession } from "../../api/session";
import type { Inspection } from "../../api/words";
import { boxOf } from "../../geometry/frame";
import { text } from "../../text";
import { language } from "../../text/language";
import { dayAndTime, milliseconds, percent, shortId } from "../../ui/format";
import { Empty } from "../../ui/States";
import { useKeys } from "../../ui/useKeys";
import { VerdictLamp } from "../../ui/VerdictMark";
import { DecisionPanel, meaning } from "./DecisionPanel";
import { DefectList } from "./DefectList";
import { FaultMark, FaultNotice } from "./FaultNotice";
import { faultsOf } from "./faults";
import { nextNumber, numbered } from "./numbering";
import { placeOf } from "./around";
import { Similar } from "./Similar";
import { LastGood } from "./LastGood";
import { worstImage } from "../../ui/worst";
import { PartViews } from "./PartViews";
import { undoable } from "./undoable";
import { Views } from "./Views";
import { Served } from "../../ui/Served";

/** A key within so many ms of a part's appearance was meant for the part before it. */
const TOO_FAST_MS = 400;

type Props = {
  inspection: Inspection;
  /** Stops the line from moving on. */
  busy: () => void;
  /** Shows another part. */
  look: (id: string) => void;
  /** The number of the defect that the address names. */
  pointed: number | null;
  /** Names a defect in the address, so that it can be sent to a colleague. */
  point: (number: number | null) => void;
};

/** The part on screen: verdict, views, defects, and the operator's word. */
export function PartPanel({ inspection, busy, look, pointed, point }: Props) {
  const { id, verdict } = inspection;
  const defects = useMemo(() => numbered(inspection), [inspection.images, language()]);
  const faults = faultsOf(inspection);
  const answerable = faults.length === 0 || inspection.decision !== null; // of a picture that says nothing nobody is asked
  const [chosen, setChosen] = useState<number | null>(null);
  const [large, setLarge] = useState<number | null>(null);
  const [wish, setWish] = useState({ box: null as ReturnType<typeof boxOf> | null, wish: 0 });
  const [filled, setFilled] = useState(false);
  const [hidden, setHidden] = useState(false);
  const [loupe, setLoupe] = useState(false);
  const [asking, setAsking] = useState(false);
  const [note, setNote] = useState<string | null>(null);
  const shown = defects.find((one) => one.number === chosen);
  const say = useSay();
  const by = useSession().data?.name ?? "";
  const waits = useOutbox().filter((word) => word.inspection === id && !word.refused);
  const kept = say.isPending ? waits.slice(0, -1) : waits; // what is being sent right now does not wait yet
  const appeared = useRef(0);

  useEffect(() => {
    appeared.current = performance.now();
    setChosen(null);
    setAsking(false);
    setNote(null);
    setWish((before) => (before.box === null ? before : { box: null, wish: before.wish + 1 })); // a new picture is opened as a whole anyway
    say.reset();
  }, [id]);

  useEffect(() => {
    if (pointed !== chosen) zoomTo(pointed);
  }, [id, pointed, defects.length]);

  const meant = (): boolean => {
    const sure = performance.now() - appeared.current > TOO_FAST_MS;
    setNote(sure ? null : text.inspect.tooFast);
    return sure;
  };
  const tell = (saying: Saying) => {
    busy();
    say.mutate({ inspection: id, part: inspection.part, ...saying }, { onSuccess: () => setAsking(false) });
  };
  const send = (verdict: "ok" | "ng", reason: string) => tell({ verdict, reason });
  const ready = inspection.progress === "done" && !say.isPending;
  const agree = () => ready && meant() && send(meaning(verdict).agree, "");
  const ask = () => {
    if (!ready || !meant()) return;
    busy();
    setAsking(true);
  };
  const call = () => {
    if (!ready || !meant()) return;
    const last = kept.at(-1);
    if (last ? verdictOf(last) : inspection.decision) return setNote(text.call.decided);
    if (inspection.call?.state !== "open" && last?.kind !== "call") tell({ kind: "call", reason: shown ? `${shown.number} ${shown.defect.class}` : "" });
  };
  const undo = () => {
    if (say.isPending) return;
    const found = undoable(inspection, kept, by, Date.now() + connection.ahead());
    if (found) tell(found.saying);
    else if (saidLast() === null || saidLast() === id) setNote(text.inspect.nothingToUndo);
    else look(saidLast() ?? id); // first it is brought on screen: nobody takes back what they do not see
  };
  const zoomTo = (number: number | null) => {
    const found = defects.find((one) => one.number === number);
    if (!found) return;
    point(found.number);
    setChosen(found.number);
    setLarge(inspection.images.length > 1 ? found.n : null);
    setWish((before) => ({ box: boxOf(found.defect.bbox), wish: before.wish + 1 }));
  };
  const whole = () => {
    setLoupe(false);
    if (pointed !== null) point(null);
    setChosen(null);
    setLarge(null);
    setWish((before) => ({ box: null, wish: before.wish + 1 }));
  };
  const one = (n: number) => {
    if (n >= inspection.images.length) return;
    whole();
    setLarge(n);
  };
  useKeys(
    {
      a: () => void agree(),
      o: ask,
      c: call,
      u: undo,
      n: () => zoomTo(nextNumber(chosen, defects.length, 1)),
      "Shift+n": () => zoomTo(nextNumber(chosen, defects.length, -1)),
      f: () => setFilled(true),
      h: () => setHidden(true),
      m: () => setLoupe(true),
      "0": whole,
      Escape: whole,
      ...Object.fromEntries(Array.from({ length: 9 }, (_, n) => [String(n + 1), () => one(n)])),
    },
    { f: () => setFilled(false), h: () => setHidden(false), m: () => setLoupe(false) },
  );

  return (
    <article className="part" aria-label={text.inspect.part({ part: inspection.part })}>
      <header className="part-head">
        {faults.length > 0 ? <FaultMark /> : verdict ? <VerdictLamp verdict={verdict} /> : <span role="status">{text.inspect.working}</span>}
        <div className="part-name">
          <h1>{inspection.part}</h1>
          <span className="quiet">
            {inspection.station} · {dayAndTime(inspection.received_at)}
            {inspection.score !== null && ` · ${text.inspect.score({ score: percent(inspection.score) })}`}
            {inspection.elapsed_ms !== null && ` · ${milliseconds(inspection.elapsed_ms)}`}
            {inspection.model && ` · ${text.everywhere.model({ id: shortId(inspection.model) })}`}
          </span>
        </div>
      </header>
      {faults.length > 0 && <FaultNotice key={id} inspection={inspection} faults={faults} />}
      {inspection.progress === "failed" && faults.length === 0 && (
        <p role="alert" className="problem">
          <strong>{text.inspect.failed}.</strong> <Served text={inspection.problem ?? ""} />
        </p>
      )}
      <div className="part-body" data-plain={!answerable}>
        {inspection.images.length === 0 ? (
          <Empty title={text.inspect.working} />
        ) : (
          <Views {...{ inspection, defects, chosen, large, filled, hidden, loupe }} look={wish} setLarge={(n) => (n === null ? whole() : one(n))} onTouched={busy} />
        )}
        {answerable && <aside className="side">
          <DecisionPanel
            inspection={inspection}
            kept={kept}
            by={by}
            asking={asking}
            setAsking={(yes) => (yes ? ask() : setAsking(false))}
            agree={() => void agree()}
            overrule={(reason) => send(meaning(verdict).overrule, reason)}
            call={call}
            undo={undo}
            sending={say.isPending}
            problem={say.error ? say.error.message : note}
          />
          {inspection.progress === "done" && (
            <>
              <div className="draw">
                <button type="button" className="link" aria-pressed={filled} onClick={() => setFilled(!filled)}>
                  {text.inspect.fill} <kbd>F</kbd>
                </button>
                <button type="button" className="link" aria-pressed={hidden} onClick={() => setHidden(!hidden)}>
                  {text.inspect.hide} <kbd>H</kbd>
                </button>
                <button type="button" className="link" aria-pressed={loupe} onClick={() => setLoupe(!loupe)}>
                  {text.inspect.loupe} <kbd>M</kbd>
                </button>
              </div>
              <DefectList key={id} defects={defects} chosen={chosen} choose={zoomTo} manyViews={inspection.images.length > 1} />
              <PartViews inspection={inspection} />
              <LastGood inspection={inspection} n={shown?.n ?? large ?? worstImage(inspection.images)} defect={shown?.defect.bbox ?? null} />
              {shown && <Similar id={id} number={placeOf(inspection, shown.defect)} />}
            </>
          )}
        </aside>}
      </div>
    </article>
  );
}
