"""One decision for one part: continue, correct, scrap, measure or abstain, with its money, its risk and its reason."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.advised import Advised, keep
from process_opt.alternatives import alternatives, minutes_of, rework_of, settings_of
from process_opt.belief import Belief, believe, unheard
from process_opt.causes import causes
from process_opt.explore import Explored, explore
from process_opt.farther import told
from process_opt.left_alone import beside, left_alone
from process_opt.measure import Reading, best_of, every_reading
from process_opt.model import ProcessModel
from process_opt.patience import patient
from process_opt.plan import Plan, make_plan, settle, worth
from process_opt.request import parse_question
from process_opt.routes import best_plan
from process_opt.serving import Exploring, serving_of
from process_opt.together import of_the_batch
from process_opt.unsteered import usual_cost
from process_opt.worth import offered

GAIN_WORTH_A_CHANGE = 0.002
"""Share of what is at stake (value - escape) that a correction must gain over doing nothing to be
worth asking people for."""
GAIN_WORTH_ABSTAINING = 0.02
"""Likewise for a setting that is not identified: below it, saying that it would help leads nowhere."""
GAIN_WORTH_A_READING = 0.01
"""Likewise for a further reading: its worth is a rougher sum, and it holds the part up."""
MOSTLY = 0.5
"""Share of a part's deviation that it came in with, from which on the reason says so."""


@dataclass(frozen=True)
class Options:
    """What could be done."""

    nothing: Plan
    """Nothing beyond what is decided already."""
    best: Plan
    scrap: float
    beyond: Plan | None
    """What settings that are not identified would add if the fit were right about them."""
    reading: Reading | None
    patient: Plan | None = None
    """`best`, renewed after later readings or given up then, where only that makes it worth more than scrapping; None:
    not needed, or not clearly so."""
    usual: tuple[float, float] | None = None
    """Chance and money if people go on correcting the part as in the history, where they chose all of its settings."""
    readings: tuple[Reading, ...] = ()
    """Every one that can still be taken, or taken again, the one that adds most first; `reading` is one of them."""
    barred: bool = False
    """Nothing leaves less risk of ending outside than the process allows, and nothing more will be read."""


def recommend(model: ProcessModel, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request (contracts, section 6).

    Raises:
        InvalidInput: the request names what does not exist, or a value is impossible.
    """
    began = time.perf_counter()
    question = parse_question(request, model.process, model.layout)
    name = model.id
    model = model.made_by(question.batch, question.machines)
    belief = believe(model, question.observed, question.at, question.times, question.decided)
    options = weigh(model, belief)
    decision = decide(model, options)
    keep(name, question, as_advised(decision, options))
    rules = serving_of(model.process)
    chosen = options.nothing if decision == "abstain" else options.best
    found = explored(model, name, request, belief, options, decision, rules.explore) if rules.explore else None
    if found is not None:
        decision, chosen = "correct", found.plan
    value = options.scrap if decision == "scrap" else chosen.value
    if decision == "measure" and options.reading is not None:
        value = max(value, options.scrap) + options.reading.gain
    settings = settings_of(model, chosen.v) if decision == "correct" else {}
    together = of_the_batch(model.process, question, settings)
    run = rework_of(model, chosen) if decision == "correct" else []
    asks = [step.name for step in model.process.steps if step.needs_approval and step.name in run]
    made, came_in = causes(model, question.observed, question.at)
    answer = {
        "part": question.part,
        "at": model.process.steps[question.at].name,
        "decision": decision,
        "settings": settings,
        "run": run,
        **({"needs_approval": asks} if asks else {}),
        "measure": [options.reading.name] if decision == "measure" and options.reading is not None else [],
        "p_conform": round(chosen.chance, 4),
        "p_conform_interval": chosen.interval(),
        "expected_value": round(value, 4),
        "minutes": 0.0 if decision == "scrap" else minutes_of(model, chosen, question.at),
        "value_if_continued": round(options.nothing.value, 4),
        "value_if_scrapped": round(options.scrap, 4),
        "causes": made,
        "alternatives": _ways(model, question.at, options, decision),
        "readings": [_as_told(reading) for reading in options.readings],
        "reason": " ".join(
            [
                (_reason(model, options, decision) if found is None else found.reason(model)) + together.reason,
                *_inborn(came_in, decision),
                *unheard(model, question.observed),
            ]
        ),
        **together.as_json(),
        **({"explored": found.as_json()} if found is not None else {}),
        "model": name,
    }
    if rules.trial is not None and (lot := offered(model.process, rules.trial, answer)) is not None:
        answer["trial"] = lot
    return {**answer, "elapsed_ms": round((time.perf_counter() - began) * 1000, 2)}


def explored(
    model: ProcessModel,
    name: str,
    request: dict[str, Any],
    belief: Belief,
    options: Options,
    decision: str,
    rule: Exploring,
) -> Explored | None:
    """What is varied to learn from a part that goes on anyway; also from one that lacks just what could be learnt."""
    if decision not in ("continue", "correct", "abstain") or withdrawn(model) or options.best.value <= options.scrap:
        return None
    return explore(model, name, request, belief, options.best, rule)


def weigh(model: ProcessModel, belief: Belief) -> Options:
    """Everything that could be done, with its worth."""
    known = np.array([model.identified.get(name, False) for name in model.process.settings], dtype=bool)
    later = _later(model, belief.at)
    nothing, best = best_plan(model, belief, known)
    stake = model.process.value - model.process.escape
    if best.value <= nothing.value + GAIN_WORTH_A_CHANGE * stake:
        best = nothing
    barred, judge = False, model
    if too_risky(model, belief, best):
        best, barred = _safer(model, belief, best, known)
        judge = model.stricter if barred else model
    # Where only settings remain whose effect nobody knows, waiting is no answer: they may be what the part needs.
    hopes = bool((later & known).any()) or not later.any()
    renewed = patient(model, belief, best) if hopes and not barred else None
    beyond = None
    if bool((later & ~known).any()):
        wider = max(make_plan(model, belief, allowed=later, rounds=0), key=lambda p: p.value)
        if wider.value > max(best.value, model.process.scrap) + GAIN_WORTH_ABSTAINING * stake:
            beyond = wider
    least = GAIN_WORTH_A_READING * stake
    plans = (settle(judge, belief, plan.v, plan.run) if barred else plan for plan in (best, nothing))
    readings = every_reading(judge, belief, *plans, least=least)
    return Options(
        nothing, best, model.process.scrap, beyond, best_of(readings, least), renewed, _as_usual(model, belief),
        tuple(readings), barred,
    )  # fmt: skip


def too_risky(model: ProcessModel, belief: Belief, plan: Plan) -> bool:
    """Is a plan that would be carried out riskier than the process allows, before a part about which nothing more will
    be known until it is finished? Earlier, later looks decide."""
    limit = model.process.escape_limit
    if limit is None or 1 - plan.chance <= limit or plan.value <= model.process.scrap:
        return False
    steps = [k for k, step in enumerate(model.process.steps) if k >= belief.at and (not step.optional or k in plan.run)]
    return not any(model.layout.reads[k] for k in steps[:-1])


def _safer(model: ProcessModel, belief: Belief, best: Plan, known: NDArray[np.bool_]) -> tuple[Plan, bool]:
    """A plan within the limit of risk that is worth more than scrapping; `best`, and True, where there is none."""
    limit = model.process.escape_limit
    assert limit is not None
    found = best_plan(model.stricter, belief, known)[1]
    found = settle(model, belief, found.v, found.run)
    within = 1 - found.chance <= limit and found.value > model.process.scrap
    return (found, False) if within else (best, True)


def _as_usual(model: ProcessModel, belief: Belief) -> tuple[float, float] | None:
    if model.handled is None:
        return None
    line, hands = model.handled
    plan = settle(line, belief, belief.base, frozenset())
    return plan.chance, plan.value - usual_cost(model, hands, belief.at)


def withdrawn(model: ProcessModel) -> bool:
    """Have outcomes shown the model's promises to be too high (`learn.py`)?"""
    return bool(model.learnt.get("promises", {}).get("withdrawn", False))


def _later(model: ProcessModel, at: int) -> NDArray[np.bool_]:
    return np.array(
        [k >= at and not model.process.steps[k].optional for k, _ in model.process.settings.values()], dtype=bool
    )


def pays(model: ProcessModel, options: Options) -> bool:
    """Does a correction pay by itself whose effects the history identifies, all of them?

    A rework step counts by its settings; one without settings was run by people who saw the part, so it does not.
    """
    best = options.best
    rework = [model.process.steps[k].settings for k in best.run]
    known = all(model.identified.get(s.name, False) for settings in rework for s in settings) and all(rework)
    moved = bool(np.any(np.abs(best.v - options.nothing.v) > 1e-9)) or (bool(rework) and known)
    return options.patient is not None or (moved and best.value > options.scrap)


def decide(model: ProcessModel, options: Options) -> str:
    """The decision alone.

    Where a setting that is not identified promises more, a correction by identified ones is still the decision if it
    pays; only where none does, and the answer could turn on the unknown one, is there nothing to be said.
    """
    if withdrawn(model):
        return "abstain"
    if options.beyond is not None and not pays(model, options):
        return "abstain"
    top = max(options.best.value, options.scrap)
    stake = model.process.value - model.process.escape
    if options.usual is not None and options.usual[1] > top + GAIN_WORTH_ABSTAINING * stake:
        return "abstain"
    if options.reading is not None and options.reading.gain > GAIN_WORTH_A_READING * stake:
        return "measure"
    if options.barred or (options.scrap >= top and options.patient is None):
        return "scrap"
    return "correct" if np.any(np.abs(options.best.v) > 1e-9) or options.best.run else "continue"


def as_advised(decision: str, options: Options) -> Advised:
    """The decision with its plan, to be remembered."""
    plan = options.nothing if decision == "abstain" else options.best
    return Advised(decision, tuple(plan.v.tolist()), plan.run)


def _ways(model: ProcessModel, at: int, options: Options, decision: str) -> list[dict[str, Any]]:
    """What else could be done, one of each kind, best first."""
    if decision == "correct" and options.best is options.nothing:  # all that it changes is decided already
        return alternatives(model, at, [], options.scrap)
    kinds = [("continue", options.nothing)]
    if options.best is not options.nothing and not withdrawn(model):
        kinds.append(("correct", options.best))
    others = [(kind, plan) for kind, plan in kinds if kind != decision]
    return alternatives(model, at, others, None if decision == "scrap" else options.scrap)


def _as_told(reading: Reading) -> dict[str, Any]:
    """A reading: was it taken before, what does it cost, and how much money does deciding after it add?"""
    value = max(reading.gain + reading.cost, 0.0)
    return {
        "reading": reading.name,
        "again": reading.again,
        "cost": round(reading.cost, 4),
        "value": round(value, 4),
    }


def _reason(model: ProcessModel, options: Options, decision: str) -> str:
    """The decision's reason for an engineer, and what was left alone beside it, if anything."""
    reason = _of_itself(model, options, decision)
    if decision == "correct":
        reason += told(model, options.best.v)
    if options.beyond is None or decision == "abstain":
        return reason
    gain = options.beyond.value - max(options.best.value, options.scrap)
    return f"{reason} {beside(model, options.beyond, gain)}"


def _of_itself(model: ProcessModel, options: Options, decision: str) -> str:
    """The reason in one sentence: chances in per cent, money in the process's currency."""
    process = model.process
    best, nothing = options.best, options.nothing
    spent = worth(model, best.chance, 0.0) - best.value
    even = (process.scrap + spent - process.escape) / (process.value - process.escape)
    pays = f"going on pays from {_percent(min(max(even, 0.0), 1.0))} on"

    def money(amount: float) -> str:
        return f"{amount:.2f} {process.currency}"

    if withdrawn(model):
        told = model.learnt["promises"]
        return (
            f"Advice is withdrawn: of {told['finished']:.0f} parts since the fit, {told['kept']:.0f} conformed where "
            f"{told['promised']:.0f} were promised, which luck does not explain; fit the process again on newer parts."
        )
    if decision == "abstain" and options.usual is not None and options.usual[1] > max(best.value, options.scrap):
        chance, value = options.usual
        return (
            f"The history does not identify what any setting does: people chose them all, seeing the part. Corrected "
            f"by people as usual the chance is {_percent(chance)}, worth {money(value)}; left alone it is hardly known "
            f"({_percent(nothing.chance)}). Dither settings on at least 40 parts and fit again."
        )
    if decision == "abstain":
        assert options.beyond is not None
        names = left_alone(model, options.beyond)
        return (
            f"A correction would be needed, but the history does not identify the effect of {', '.join(names)}: "
            f"these settings were not varied at random, each by itself, on enough parts; dither them on at least 40 "
            f"parts and fit again."
        )
    if decision == "measure":
        reading = options.reading
        assert reading is not None
        again = " again" if reading.again else ""
        why = "a second look tells the part from its gauge's error" if reading.again else "it can change the decision"
        return (
            f"Taking {reading.name}{again} first costs {money(reading.cost)} and is worth "
            f"{money(reading.gain + reading.cost)}, because {why}."
        )
    if decision == "scrap" and options.barred:
        return (
            f"The best that can still be done leaves a risk of {_percent(1 - best.chance)} to end outside, where the "
            f"process allows {_percent(process.escape_limit or 0.0)} and nothing more will be read before the end; "
            f"without that limit it would be worth {money(best.value)}, scrapping is worth {money(options.scrap)}."
        )
    if decision == "scrap":
        return (
            f"The best that can still be done gives a chance of {_percent(best.chance)} and is worth "
            f"{money(best.value)}; scrapping is worth {money(options.scrap)}, and {pays}."
        )
    if options.patient is not None:
        return (
            f"As written the plan is worth {money(best.value)}, less than scrapping ({money(options.scrap)}), but with "
            f"settings chosen anew after later readings, and scrapping then where these show no hope, about "
            f"{money(options.patient.value)}; the chance before that is {_percent(options.patient.chance)}: go on only "
            f"if you ask again after the next readings, else scrap."
        )
    if decision == "correct" and best is not nothing:
        count = len(settings_of(model, best.v))
        done = [f"{count} setting{'s' * (count != 1)} changed"] if count else []
        done += [f"{name} run" for name in rework_of(model, best)]
        return (
            f"With {' and '.join(done)} the chance is {_percent(best.chance)} instead of {_percent(nothing.chance)}, "
            f"worth {money(best.value)} instead of {money(nothing.value)}; {pays}."
        )
    return (
        f"Left alone the chance is {_percent(nothing.chance)}, worth {money(nothing.value)}, and no change gains "
        f"enough; {pays}."
    )


def _inborn(share: float, decision: str) -> list[str]:
    """A sentence where most of what is amiss is no step's doing, so that nobody looks for one; else none."""
    if decision == "continue" or share < MOSTLY:
        return []
    return [f"The part came in off: {_percent(share)} of how far it will be off was there before the first step."]


def _percent(chance: float) -> str:
    """As people say it; never a certainty that the model does not have."""
    return "over 99 %" if 0.99 < chance < 1 else "under 1 %" if 0 < chance < 0.01 else f"{100 * chance:.0f} %"
