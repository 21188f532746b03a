import { words } from "../text/desk";

/** What one sees, to take away: every row as a table for a spreadsheet, and the page on paper or as PDF. */
export function TakeAway({ csv, print = true }: { csv?: string | undefined; print?: boolean }) {
  return (
    <span className="take-away">
      {csv && (
        <a href={csv} download title={words.csvHelp}>
          {words.csv}
        </a>
      )}
      {print && (
        <button type="button" className="link" title={words.printHelp} onClick={() => window.print()}>
          {words.print}
        </button>
      )}
    </span>
  );
}
