import { Tooltip } from "@mantine/core";
import type { Summary } from "../../api/words";
import { text } from "../../text";
import { money } from "../../ui/format";

/** What the advice brought, from recorded outcomes; how each figure is made shows on hover and on focus. */
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
    <dl className="cards">
      {cards.map((card) => (
        <Tooltip key={card.name} label={card.how} multiline w={300} events={{ hover: true, focus: true, touch: true }}>
          <div tabIndex={0} className="card">
            <dt>{card.name}</dt>
            <dd>{card.figure}</dd>
          </div>
        </Tooltip>
      ))}
    </dl>
  );
}
