import { useLabelQuality } from "../../api/learning";
import type { Agreement, Labeller } from "../../api/words";
import { text } from "../../text";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { change, fixed } from "../../ui/format";
import { Share } from "../../ui/Share";
import { waiting } from "../../ui/States";
import { GoldenSet } from "./GoldenSet";
import { OverTime } from "./OverTime";
import { agreementText, FIGURES, trend } from "./quality";
import { Work } from "./Work";

/** How far labels can be trusted: people against each other, and against tasks whose truth is known. */
export function Quality() {
  const quality = useLabelQuality();
  const state = waiting(quality);
  if (state || !quality.data) return state;
  const { classes, golden, labellers, pairs, work } = quality.data;
  const words = text.quality;
  return (
    <div className="quality">
      <Work work={work} />
      <h2>{words.agreement}</h2>
      <p className="quiet">{pairs === 0 ? words.noPairs : words.pairs({ count: pairs })}</p>
      {pairs > 0 && Object.entries(classes).map(([name, figures]) => <ClassAgreement key={name} name={name} figures={figures} />)}
      <h2>{words.labellers}</h2>
      <p className="quiet">{labellers.length === 0 ? words.noGolden : words.golden}</p>
      {labellers.length > 0 && (
        <table className="table">
          <ColumnHeads names={[words.person, words.tasks, words.score, words.overTime, words.drift]} />
          <tbody>
            {labellers.map((one) => (
              <tr key={one.person}>
                <th scope="row">{one.person}</th>
                <td>{one.tasks}</td>
                <td>
                  <Share share={{ value: one.score, low: one.score, high: one.score }} words={fixed(one.score, 2)} />
                </td>
                <td>
                  <OverTime one={one} />
                </td>
                <td>
                  <Drift one={one} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <GoldenSet golden={golden} labellers={labellers} />
    </div>
  );
}

function ClassAgreement({ name, figures }: { name: string; figures: Record<string, Agreement> }) {
  const words = text.quality;
  const known = FIGURES.flatMap((key) => {
    const figure = figures[key];
    return figure && figure.value !== null ? [{ key, figure, value: figure.value }] : [];
  });
  return (
    <section className="model" aria-label={name}>
      <strong>{name}</strong>
      {known.length === 0 && <p className="quiet">{words.nothingDrawn}</p>}
      {known.length > 0 && (
        <table className="figures">
          <tbody>
            {known.map(({ key, figure, value }) => (
              <tr key={key}>
                <th scope="row">{words.figure[key]}</th>
                <td>
                  <Share share={{ value, low: figure.low ?? value, high: figure.high ?? value }} words={agreementText(figure)} />
                </td>
                <td className="quiet">{words.parts({ count: figure.parts })}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

/** Coloured only where somebody has certainly become worse. */
function Drift({ one }: { one: Labeller }) {
  const how = trend(one);
  const words = text.quality.trend[how];
  if (one.change_per_30_days === null) return <span className="quiet">{words}</span>;
  return (
    <span className={how === "worse" ? "beyond" : undefined}>
      {how === "worse" ? "▼ " : how === "better" ? "▲ " : ""}
      {words} ({text.quality.perMonth({ change: change(Number(one.change_per_30_days.toFixed(3))) })})
    </span>
  );
}
