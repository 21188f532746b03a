import { Button, NativeSelect, NumberInput, Progress } from "@mantine/core";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { processCsv } from "../../api/batches";
import { useProcesses } from "../../api/processes";
import { isLooking, type Recipe, useRecipe, useRecipeChange } from "../../api/recipe";
import { words } from "../../text/desk";
import { Served } from "../../ui/Served";
import { Empty, waiting } from "../../ui/States";
import { TakeAway } from "../../ui/TakeAway";
import { NoProcess } from "./NoProcess";
import { ProposalPanel } from "./Proposal";
import { Tabs } from "./Tabs";
import { Trials } from "./Trials";

/** Proposals for the nominal settings of the whole process: what they may gain, how surely, and what that rests on. */
export function RecipePage({ name: wanted }: { name?: string | undefined }) {
  const [, go] = useLocation();
  const processes = useProcesses();
  const name = wanted ?? processes.data?.items[0]?.name;
  const state = waiting(processes);
  if (state) return state;
  if (name === undefined) return <NoProcess />;
  return (
    <div className="page recipe">
      <Tabs at="recipe" name={name} />
      {(processes.data?.items.length ?? 0) > 1 && (
        <NativeSelect size="xs" className="no-print" aria-label={words.tabs.process} value={name} data={(processes.data?.items ?? []).map((item) => item.name)}
          onChange={(event) => go(`/engineer/recipe/${encodeURIComponent(event.currentTarget.value)}`)} />
      )}
      <OneRecipe key={name} name={name} />
    </div>
  );
}

function OneRecipe({ name }: { name: string }) {
  const found = useRecipe(name);
  return (
    <>
      <header className="page-head">
        <div>
          <h1>{words.recipe.title}</h1>
          <p className="quiet">{words.recipe.help}</p>
        </div>
        <TakeAway csv={(found.data?.proposals.length ?? 0) > 0 ? processCsv(name, "recipe") : undefined} />
      </header>
      {waiting(found)}
      {found.data && <Shown name={name} recipe={found.data} />}
    </>
  );
}

function Shown({ name, recipe }: { name: string; recipe: Recipe }) {
  const change = useRecipeChange(name);
  const { job, proposals } = recipe;
  const trying = new Set(recipe.trials.filter((trial) => trial.state === "open").map((trial) => same(trial.settings)));
  if (recipe.problem !== null) {
    return (
      <section className="panel">
        <p>
          <Served text={recipe.problem} />
        </p>
        <Link href={`/engineer/process/${encodeURIComponent(name)}`}>{words.recipe.onProcess}</Link>
      </section>
    );
  }
  return (
    <>
      <Wish movable={recipe.movable} busy={isLooking(recipe) || change.look.isPending} look={change.look.mutate} />
      {isLooking(recipe) && (
        <div className="looking">
          <span>{words.recipe.running}</span>
          <Progress value={100 * (job?.progress ?? 0.01)} color="dark" aria-label={words.recipe.running} />
        </div>
      )}
      {(change.look.error ?? change.open.error) && (
        <p role="alert" className="problem">
          {(change.look.error ?? change.open.error)?.message}
        </p>
      )}
      {job?.state === "failed" && (
        <p role="alert" className="problem">
          {words.recipe.failed} <Served text={job.problem ?? ""} />
        </p>
      )}
      {!job && <Empty title={words.recipe.never}>{words.recipe.neverHelp}</Empty>}
      {proposals.length > 0 && !recipe.of_this_model && <p className="note">{words.recipe.stale}</p>}
      {proposals.map((proposal, place) => (
        <ProposalPanel key={place} number={place + 1} proposal={proposal} recipe={recipe} name={name} tried={trying.has(same(proposal.settings))}
          open={() => change.open.mutate(proposal.settings)} busy={change.open.isPending} />
      ))}
      <Trials recipe={recipe} end={change.end} />
    </>
  );
}

/** Settings as one word: a trial has those of the proposal it was opened from, to four figures. */
const same = (settings: Readonly<Record<string, number>>): string =>
  Object.entries(settings).map(([name, value]) => `${name}=${value.toPrecision(4)}`).toSorted().join(" ");

type WishProps = { movable: number; busy: boolean; look: (wish: { parts: number; later: number; count: number }) => void };

function Wish({ movable, busy, look }: WishProps) {
  const [parts, setParts] = useState(30);
  const [later, setLater] = useState(10_000);
  const [count, setCount] = useState(1);
  const whole = (set: (value: number) => void) => (value: string | number) => typeof value === "number" && set(value);
  return (
    <form className="inline no-print" onSubmit={(event) => (event.preventDefault(), look({ parts, later, count }))}>
      <NumberInput label={words.recipe.parts} value={parts} min={1} max={100_000} allowDecimal={false} onChange={whole(setParts)} w={150} />
      <NumberInput label={words.recipe.later} description={words.recipe.laterHelp} value={later} min={0} max={1e9} step={1000} allowDecimal={false} onChange={whole(setLater)} w={230} />
      <NumberInput label={words.recipe.count} value={count} min={1} max={8} allowDecimal={false} onChange={whole(setCount)} w={170} />
      <Button type="submit" color="dark" disabled={busy}>
        {words.recipe.look}
      </Button>
      <span className="quiet">{words.recipe.movable({ count: movable })}</span>
    </form>
  );
}
