import type { Summary } from "../../api/words";
import { text } from "../../text";
import { money } from "../../ui/format";
import { Hint } from "../../ui/Hint";

/** What the advice brought, from recorded outcomes; each figure opens to how it is made. */
export function SummaryCards({ summary }: { summary: Summary }) {
  const { money: sums } = summary;
  const eur = (amount: number) => money(amount, sums.currency);
  const words = text.engineer;
  const { of } = text.everywhere;
  const cards = [
    { name: words.followed, figure: of({ n: summary.followed, all: summary.recommended }), how: words.followedHow },
    { name: words.saved, figure: of({ n: summary.finished_in_spec, all: summary.followed }), how: words.savedHow({ inSpec: summary.finished_in_spec, outside: summary.finished_out_of_spec, scrapped: summary.scrapped }) },
    { name: words.againstScrap, figure: eur(sums.saved_against_scrapping), how: words.scrapHow({ realised: eur(sums.realised), scrapped: eur(sums.if_scrapped) }) },
    { name: words.againstContinue, figure: eur(sums.saved_against_continuing), how: words.continueHow({ realised: eur(sums.realised), continued: eur(sums.if_continued_expected) }) },
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
