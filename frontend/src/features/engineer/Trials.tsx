import { Button } from "@mantine/core";
import type { UseMutationResult } from "@tanstack/react-query";
import type { Recipe } from "../../api/recipe";
import { words } from "../../text/desk";
import { ColumnHeads } from "../../ui/ColumnHeads";
import { figure, money } from "../../ui/format";

type End = UseMutationResult<unknown, Error, { number: number; how: "told" | "called off" }>;

/** Trials that were opened: their settings, the parts told so far, what they earned; taken in or called off here. */
export function Trials({ recipe, end }: { recipe: Recipe; end: End }) {
  const named = words.recipe;
  return (
    <section className="panel" aria-label={named.trials}>
      <h2>{named.trials}</h2>
      <p className="quiet">{recipe.trials.length === 0 ? named.noTrials : named.howTold}</p>
      {recipe.trials.length > 0 && (
        <table className="facts">
          <ColumnHeads names={[named.trial, named.setting, named.money, ""]} />
          <tbody>
            {recipe.trials.map((trial) => (
              <tr key={trial.trial}>
                <th scope="row">
                  {trial.trial + 1} <span className="badge">{named.state[trial.state]}</span>
                </th>
                <td>{Object.entries(trial.settings).map(([name, value]) => `${name} ${figure(value)}`).join(", ")}</td>
                <td>{trial.money === null ? named.told({ count: trial.told }) : money(trial.money, recipe.currency)}</td>
                <td>
                  {trial.state === "open" && (
                    <span className="sure no-print">
                      <Button size="xs" color="dark" disabled={trial.told === 0 || end.isPending} onClick={() => end.mutate({ number: trial.trial, how: "told" })}>
                        {named.takeIn}
                      </Button>
                      <Button size="xs" variant="default" disabled={end.isPending} onClick={() => end.mutate({ number: trial.trial, how: "called off" })}>
                        {named.callOff}
                      </Button>
                    </span>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {end.error && (
        <p role="alert" className="problem">
          {end.error.message}
        </p>
      )}
    </section>
  );
}
