"""The next nominal settings to try as a trial run: what they may gain, how surely, what the trial costs; or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import norm

from process_opt.history import History
from process_opt.recipe.flow import Belief
from process_opt.recipe.steps import RecipeNetwork
from process_opt.recipe.study import Search
from process_opt.recipe.trials import outcome, sort_out

Floats = NDArray[np.float64]

DRAWS = 256
"""Of the network, to tell a gain with its interval."""
MOVED = 0.01
"""Standard deviations of its variation in the history: a setting nearer to nominal is left there."""


@dataclass(frozen=True)
class Terms:
    """What a trial is and what it is for."""

    parts: int = 30
    """Of one trial run."""
    later: int = 10_000
    """Parts to be made with the recipe afterwards: a gain counts so often, the trial's cost once."""


def propose(recipe: RecipeNetwork, search: Search, terms: Terms) -> dict[str, Any]:
    """The next trial as JSON. Where none is worth its cost nothing is asked: `decision` is `no gain expected`."""
    trial = search.ask()
    belief, tried, worth = search.sampler.last or search.state()
    here = recipe.network.cube(trial.params)
    today = recipe.network.cube(recipe.present)
    best = tried[int(np.argmax(worth))]
    money = _draws(belief, np.array([here, best, today]))
    gain = money[0] - money[2]
    beyond = _learnable(money[0] - money[1], _trial_variance(recipe, belief, here, terms.parts))
    settings = _moved(recipe, dict(trial.params))
    cost = _cost(recipe, settings, terms.parts) + terms.parts * max(0.0, float(money[1].mean() - money[0].mean()))
    if not settings or beyond * terms.later <= cost:
        search.call_off(trial.number)
        answer: dict[str, Any] = {"trial": None, "decision": "no gain expected", "settings": {}}
        reason = (
            f"the best trial would teach for {beyond:.4g} {_currency(recipe)} a part beyond the best recipe known, "
            f"on {terms.later} parts {beyond * terms.later:.2f}, and cost {cost:.2f}"
        )
    else:
        answer = {"trial": trial.number, "decision": "try", "settings": settings}
        reason = (
            f"trial {trial.number} on {terms.parts} parts costs about {cost:.2f} {_currency(recipe)} and promises "
            f"{float(gain.mean()):+.4g} a part against today's recipe"
        )
    low, high = np.quantile(gain, [0.05, 0.95])
    return {
        **answer,
        "gain": _short(float(gain.mean())),
        "gain_interval": [_short(float(low)), _short(float(high))],
        "gain_chance": round((int((gain > 0).sum()) + 0.5) / (DRAWS + 1), 4),  # no number of draws makes it certain
        "each": _each(recipe, belief, here, settings),
        "improvement": _short(beyond),
        "cost": round(cost, 2),
        "parts": terms.parts,
        "best": best_known(recipe, belief, tried, worth),
        "left": list(recipe.left),
        "reason": reason,
        "currency": _currency(recipe),
        "model": recipe.model.id,
    }


def _each(recipe: RecipeNetwork, belief: Belief, here: Floats, settings: dict[str, float]) -> list[dict[str, Any]]:
    """Of every setting that is moved, how it is now and what would be lost by leaving it there; the dearest first."""
    if not settings:
        return []
    net, process = recipe.network, recipe.model.process
    today, places = net.cube(recipe.present), {i.name: k for k, i in enumerate(net.inputs)}
    without = np.repeat(here[None], len(settings), axis=0)
    for row, name in enumerate(settings):
        without[row, places[name]] = today[places[name]]
    money = _draws(belief, np.vstack([here[None], without]))
    lost = money[0] - money[1:]
    ends = np.quantile(lost, [0.05, 0.95], axis=1).T
    found = [
        {
            "setting": name,
            "unit": process.settings[name][1].unit,
            "now": process.settings[name][1].nominal,
            "proposed": value,
            "worth": _short(float(mine.mean())),
            "worth_interval": [_short(float(low)), _short(float(high))],
        }
        for (name, value), mine, (low, high) in zip(settings.items(), lost, ends, strict=True)
    ]
    return sorted(found, key=lambda one: -abs(float(one["worth"])))


def best_known(recipe: RecipeNetwork, belief: Belief, tried: Floats, worth: Floats) -> dict[str, Any]:
    """The best of today's recipe and those tried, with its gain against today's."""
    top = int(np.argmax(worth))
    net = recipe.network
    today = net.cube(recipe.present)
    money = _draws(belief, np.array([tried[top], today]))
    gain = money[0] - money[1]
    low, high = np.quantile(gain, [0.05, 0.95])
    return {
        "settings": _moved(recipe, net.units(tried[top])),
        "money": _short(float(money[0].mean())),
        "gain": _short(float(gain.mean())),
        "gain_interval": [_short(float(low)), _short(float(high))],
    }


def take_in(
    recipe: RecipeNetwork, search: Search, history: History, chosen: dict[int, list[int]] | None = None
) -> dict[int, int]:
    """Tell the study what came of its open trials; trial number to parts. Nothing is told unless all fits.

    Args:
        chosen: which rows belong to which trial; left out: every row must belong to one (`trials.sort_out`).
    """
    asked = {t.number: dict(t.params) for t in search.running()}
    rows_of = sort_out(recipe, history, asked) if chosen is None else chosen
    found = {n: outcome(recipe, history, rows) for n, rows in rows_of.items()}
    for number, one in found.items():
        search.tell(number, one.values, variance=one.variance, inflow=one.inflow)
    return {number: one.parts for number, one in found.items()}


def listed(recipe: RecipeNetwork, search: Search) -> list[dict[str, Any]]:
    """All trials, oldest first: settings, state, money for a part as it came."""

    def told(t: FrozenTrial) -> dict[str, Any]:
        return {
            "trial": t.number,
            "state": "done" if t.state == TrialState.COMPLETE else "open",
            "settings": _moved(recipe, dict(t.params)),
            "money": None if t.value is None else _short(t.value),
        }

    trials = search.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING))
    return [told(t) for t in trials]


def _draws(belief: Belief, x: Floats) -> Floats:
    """The objective at `x`, `S x DRAWS`, with the same chances everywhere."""
    return np.asarray(belief.draw(x, belief.normals(DRAWS, 1)).mean)


def _learnable(gain: Floats, noise: float) -> float:
    """What a trial is worth for a part made later: it is adopted if it turns out better than the best recipe known.

    A gain of mean `m` and variance `v` is after the trial known to be normal around `m` with variance
    `v^2 / (v + noise)`; worth is the mean of its positive part (the knowledge gradient; Frazier et al. 2009, eq. 4.3).
    """
    m, v = float(gain.mean()), float(gain.var())
    sd = v / np.sqrt(v + noise) if v > 0 else 0.0
    if sd <= 1e-12:
        return max(m, 0.0)
    return float(sd * norm.pdf(m / sd) + m * norm.cdf(m / sd))


def _trial_variance(recipe: RecipeNetwork, belief: Belief, x: Floats, parts: int) -> float:
    """Of the money that a trial at `x` shows, by the spread of its parts and what its batch has in common."""
    expected = belief.expected(x[None])
    node = recipe.network.nodes[-1]
    slope = recipe.money(np.column_stack([expected[p] for p in node.parents]))[1]()[0]
    rows = list(recipe.money.rows)
    spread = recipe.money.outlook.cov.mean(axis=2)[np.ix_(rows, rows)]
    shifts = recipe.model.batches.shifts
    shared = float(shifts.var(axis=0).sum(axis=0).mean()) if len(shifts) > 1 else 0.0
    return float(slope @ (spread / parts + shared * np.eye(len(rows))) @ slope)


def _cost(recipe: RecipeNetwork, settings: dict[str, float], parts: int) -> float:
    """Set-ups once, changes for every part."""
    process = recipe.model.process
    steps = {process.settings[n][0] for n in settings}
    change = sum(
        abs(v - process.settings[n][1].nominal) * process.settings[n][1].change_cost for n, v in settings.items()
    )
    return sum(process.steps[k].setup_cost for k in steps) + parts * change


def _moved(recipe: RecipeNetwork, chosen: dict[str, float]) -> dict[str, float]:
    """What leaves its nominal value, in units."""
    return {n: _short(v) for n, v in recipe.units({n: v for n, v in chosen.items() if abs(v) > MOVED}).items()}


def _currency(recipe: RecipeNetwork) -> str:
    return recipe.model.process.currency


def _short(value: float) -> float:
    return float(f"{value:.6g}")
