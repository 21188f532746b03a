import { pictures } from "../../api/inspections";
import { type SimilarDefect, useSimilar } from "../../api/similar";
import { text } from "../../text";
import { dayAndTime, percent } from "../../ui/format";
import { Crop } from "../../viewer/Crop";
import { around } from "./around";

/** Of a crop, in CSS pixels. */
const WIDE = 84;

/** Defects of other parts that look like the chosen one, and what was said of them. `number` is the server's count. */
export function Similar({ id, number }: { id: string; number: number }) {
  const words = text.similar;
  const found = useSimilar(id, number);
  return (
    <section className="similar" aria-label={words.title} aria-busy={found.isPending}>
      <h2>{words.title}</h2>
      {found.isPending && <p className="quiet">{words.looking}</p>}
      {found.error && <p className="quiet">{found.error.message}</p>}
      {found.data?.suggestions.map(({ name, probability }) => (
        <p key={name}>{words.suggests({ name, chance: percent(probability) })}</p>
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
                {item.label !== null && <em>{item.label ? words.drawn({ label: item.label }) : words.drawnNothing}</em>}
                {item.decision && <em>{decided(text.verdict[item.decision], item.reason)}</em>}
              </span>
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

const decided = (word: string, reason: string): string =>
  reason ? text.similar.decidedWhy({ word, reason }) : text.similar.decided({ word });

function Picture({ item }: { item: SimilarDefect }) {
  return (
    <Crop crop={around(item.bbox, item.width, item.height)} frame={{ width: item.width, height: item.height }} wide={WIDE}
      label={text.similar.on({ name: item.model_class, part: item.part })}
      tile={(level, column, row) => pictures.tile(item.inspection_id, item.n, level, column, row)} />
  );
}
