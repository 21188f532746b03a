import type { Work as Done } from "../../api/words";
import { text } from "../../text";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { seconds } from "../../ui/format";
import { Hint } from "../../ui/Hint";

/** Who labelled how much lately, and whose editor left marks that were taken out. */
export function Work({ work }: { work: readonly Done[] }) {
  const words = text.quality;
  return (
    <section aria-label={words.recent}>
      <h2>{words.recent}</h2>
      {work.length === 0 ? (
        <p className="quiet">{words.recentNone}</p>
      ) : (
        <table className="table">
          <ColumnHeads names={[words.person, words.drawings, words.secondsEach, words.specks]} />
          <tbody>
            {work.map((one) => (
              <tr key={one.person}>
                <th scope="row">{one.person}</th>
                <td>{one.drawings}</td>
                <td>{one.seconds_each !== null && seconds(one.seconds_each)}</td>
                <td>{one.specks > 0 ? <Hint how={words.specksHelp}>{words.specksOn({ specks: one.specks, count: one.with_specks })}</Hint> : 0}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
