import { pictures } from "../../api/inspections";
import { type SimilarDefect, useSimilar } from "../../api/similar";
import { text } from "../../text";
import { dayAndTime, percent } from "../../ui/format";
import { Crop } from "../../viewer/Crop";
import { around } from "./around";

const words = {
  title: "Seen before?",
  looking: "Looking for similar defects…",
  none: "No similar defect on another part yet.",
  suggests: (name: string, probability: number) => `Learnt class: ${name}, ${percent(probability)}`,
  drawn: (label: string) => (label ? `drawn as ${label}` : "labelled: no defect"),
  decided: (word: string, reason: string) => `a person: ${word}${reason ? `, “${reason}”` : ""}`,
  gone: "picture no longer kept",
};

/** Of a crop, in CSS pixels. */
const WIDE = 84;

/** Defects of other parts that look like the chosen one, and what was said of them. `number` is the server's count. */
export function Similar({ id, number }: { id: string; number: number }) {
  const found = useSimilar(id, number);
  return (
    <section className="similar" aria-label={words.title} aria-busy={found.isPending}>
      <h2>{words.title}</h2>
      {found.isPending && <p className="quiet">{words.looking}</p>}
      {found.error && <p className="quiet">{found.error.message}</p>}
      {found.data?.suggestions.map(({ name, probability }) => (
        <p key={name}>{words.suggests(name, probability)}</p>
      ))}
      {found.data?.items.length === 0 && <p className="quiet">{words.none}</p>}
      <ul>
        {found.data?.items.map((item) => (
          <li key={`${item.inspection_id} ${item.n} ${item.defect}`}>
            <a href={`/inspect/${item.inspection_id}`} className="similar-one">
              {item.picture ? <Picture item={item} /> : <span className="quiet">{words.gone}</span>}
              <span>
                <strong>{item.part}</strong> {item.model_class} {percent(item.score)}
                <span className="quiet">
                  {item.station} · {dayAndTime(item.received_at)}
                  {item.verdict && ` · ${text.verdict[item.verdict]}`}
                </span>
                {item.label !== null && <em>{words.drawn(item.label)}</em>}
                {item.decision && <em>{words.decided(text.verdict[item.decision], item.reason)}</em>}
              </span>
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Picture({ item }: { item: SimilarDefect }) {
  return (
    <Crop crop={around(item.bbox, item.width, item.height)} frame={{ width: item.width, height: item.height }} wide={WIDE}
      label={`${item.model_class} on ${item.part}`}
      tile={(level, column, row) => pictures.tile(item.inspection_id, item.n, level, column, row)} />
  );
}
