import type { Summary } from "../../api/words";
import { text } from "../../text";
import { money } from "../../ui/format";
import { Hint } from "../../ui/Hint";

/** What the advice brought, from recorded outcomes; each figure opens to how it is made. */
export function SummaryCards({ summary }: { summary: Summary }) {
  const { money: sums } = summary;
  const eur = (amount: number) => money(amount, sums.currency);
  const words = text.engineer;
  const cards = [
    { name: words.followed, figure: `${summary.followed} of ${summary.recommended}`, how: "Parts with a recommendation and a known outcome, and of these the ones with which was done what was advised." },
    { name: words.saved, figure: `${summary.finished_in_spec} of ${summary.followed}`, how: `Of the parts that followed: ${summary.finished_in_spec} within specification, ${summary.finished_out_of_spec} outside of it, ${summary.scrapped} scrapped.` },
    { name: words.againstScrap, figure: eur(sums.saved_against_scrapping), how: `Realised ${eur(sums.realised)} less ${eur(sums.if_scrapped)}, had each part been scrapped when first asked.` },
    { name: words.againstContinue, figure: eur(sums.saved_against_continuing), how: `Realised ${eur(sums.realised)} less ${eur(sums.if_continued_expected)}, expected had each part gone on at nominal settings.` },
  ];
  return (
    <div className="cards">
      {cards.map((card) => (
        <Hint key={card.name} how={card.how} className="card">
          <span className="card-name">{card.name}</span>
          <strong>{card.figure}</strong>
        </Hint>
      ))}
    </div>
  );
}
