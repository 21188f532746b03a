"""Which of the optional rework steps to run, and what to choose where a setting has but few values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from process_opt.belief import Belief
from process_opt.farther import far
from process_opt.model import ProcessModel
from process_opt.plan import GOOD_ENOUGH, Plan, aim_anew, make_plan, settle, settle_each

FEW = 6
"""Up to here every single rework step is tried, and the best two together; beyond, Optuna searches the combinations."""
TRIALS = 12
NEAR = 0.02
"""Share of what is at stake by which a route may fall short under the plan's settings and still be planned for anew."""
NEARER = 0.005
"""Likewise, once the plan's settings were aimed anew on the route: choosing other ones gains little more."""

CANDIDATES = 4
"""Values of a choice that are planned with: those nearest to where it would be put if anything between were possible,
for there a bent effect is known best; all of them, where it has no more."""


def best_plan(model: ProcessModel, belief: Belief, allowed: NDArray[np.bool_]) -> tuple[Plan, Plan]:
    """The plan that does nothing beyond what is decided already, and the best one that can be carried out."""
    plans = make_plan(model, belief, allowed=allowed)
    nothing = next(p for p in plans if np.array_equal(p.v, belief.base))
    best = max((best_route(model, belief, p, allowed) for p in _begun_from(model, plans)), key=lambda p: p.value)
    return nothing, _chosen(model, belief, best, allowed) if model.choices else best


def _begun_from(model: ProcessModel, plans: list[Plan]) -> list[Plan]:
    """The best plan; where it goes beyond what the history has seen, the best within that as well: a rework step may
    do what it dares."""
    places = np.arange(len(plans[0].v))
    within = (p for p in plans if not far(model.tables, places, p.v).any())
    best, timid = plans[0], next(within, plans[0])
    return [best] if timid is best else [best, timid]


def _chosen(model: ProcessModel, belief: Belief, plan: Plan, allowed: NDArray[np.bool_]) -> Plan:
    """The plan with every choice put to one of its values, one after the other, and the rest planned anew around it."""
    steps, step_of = model.process.steps, model.tables.step_of
    for place, values in model.choices.items():
        k = int(step_of[place])
        if k < belief.at or not (belief.free & allowed)[place] or (steps[k].optional and k not in plan.run):
            continue
        tried = []
        for value in values[np.argsort(np.abs(values - plan.v[place]), kind="stable")[:CANDIDATES]]:
            held = belief.held.copy()
            held[place] = value
            side = replace(belief, held=held)
            tried.append((make_plan(model, side, run=plan.run, allowed=allowed)[0], side))
        plan, belief = max(tried, key=lambda one: one[0].value)
    return plan


def best_route(model: ProcessModel, belief: Belief, plan: Plan, allowed: NDArray[np.bool_]) -> Plan:
    """The plan, or a better one with optional steps run.

    Routes are compared under the plan's settings, which is quick; then the best one is aimed with them, and planned for
    anew if it comes near.
    """
    optional = [k for k in range(belief.at, len(model.process.steps)) if model.process.steps[k].optional]
    if not optional or plan.chance > GOOD_ENOUGH:
        return plan
    routes = (
        _enumerated(model, belief, plan, optional) if len(optional) <= FEW else _searched(model, belief, plan, optional)
    )
    if not routes:
        return plan
    top = aim_anew(model, belief, max(routes, key=lambda p: p.value))
    if plan.v.any() and top.value < plan.value - NEARER * (model.process.value - model.process.escape):
        return plan
    again = make_plan(model, belief, run=top.run, allowed=allowed)
    return max([plan, top, *again], key=lambda p: p.value)


def _enumerated(model: ProcessModel, belief: Belief, plan: Plan, optional: list[int]) -> list[Plan]:
    singles = settle_each(model, belief, [plan.v] * len(optional), [frozenset({k}) for k in optional])
    singles.sort(key=lambda p: -p.value)
    if len(singles) > 1:
        singles.append(settle(model, belief, plan.v, singles[0].run | singles[1].run))
    stake = model.process.value - model.process.escape
    return singles if max(p.value for p in singles) > plan.value - NEAR * stake else []


def _searched(model: ProcessModel, belief: Belief, plan: Plan, optional: list[int]) -> list[Plan]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=1))
    study.enqueue_trial({model.process.steps[k].name: False for k in optional})
    found: dict[frozenset[int], Plan] = {}

    def value(trial: optuna.Trial) -> float:
        names = model.process.steps
        run = frozenset(k for k in optional if trial.suggest_categorical(names[k].name, [False, True]))
        if run not in found:
            found[run] = settle(model, belief, plan.v, run)
        return found[run].value

    study.optimize(value, n_trials=TRIALS)
    return [p for p in found.values() if p.run]
