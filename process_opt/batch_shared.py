"""One value for the settings that the parts of a batch share, and for each part its own way with it.

Sought is the most money of all parts together. Each part is planned with the shared values held; then the shared ones
and what each plan touches are moved jointly on all parts' outlooks, which are exact where steps act in proportion, and
each part is planned anew. It starts at the middle of what the parts would have by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ndtr

from process_opt.belief import Belief
from process_opt.choices import nearest
from process_opt.model import ProcessModel
from process_opt.outlook import look_ahead
from process_opt.patience import patient
from process_opt.plan import Plan, set_ups
from process_opt.recommend import too_risky
from process_opt.routes import best_plan

Floats = NDArray[np.float64]

ROUNDS = 3
"""How often at most the parts are planned anew around better shared values."""
ITERATIONS = 25
ALIKE = 0.02
"""Shared values that moved less than this, standardised, are the same."""


@dataclass(frozen=True)
class Side:
    """A part of the batch as it is known."""

    model: ProcessModel
    """Of its batch and machines."""
    belief: Belief


@dataclass(frozen=True)
class Common:
    """A value for each shared setting, and what each part does with it."""

    values: Floats
    """Standardised, one for each shared setting."""
    plans: tuple[Plan | None, ...]
    """By part, worth what they are if the part is asked about again; None: scrapping is worth more."""
    money: float
    """Of all parts, with the set-ups of what they share; of a part that goes on only because it will be asked about
    again, what it is then worth."""


def best_common(sides: Sequence[Side], own: Sequence[Plan | None], places: NDArray[np.int64], least: float) -> Common:
    """The shared values worth most to all parts together that were found, each part planned with them.

    Args:
        own: what each part was advised by itself; None: nothing that could be planned from.
        places: of the settings; those whose effect is not identified stay nominal.
        least: money that changing anything else must gain on a part, to be asked for.
    """
    known = _identified(sides[0].model)
    best = planned(sides, places, np.zeros(len(places)), least)
    if not known[places].any():
        return best
    wishes = [plan.v[places] for plan in own if plan is not None]
    middle = np.where(known[places], np.median(wishes, axis=0), 0.0) if wishes else np.zeros(len(places))
    tried = planned(sides, places, middle, least) if np.abs(middle).max() > ALIKE else best
    for _ in range(ROUNDS):
        best = max(best, tried, key=lambda c: c.money)
        values = _moved_jointly(sides, places, tried)
        if np.abs(values - tried.values).max() < ALIKE:
            break
        tried = planned(sides, places, values, least)
        if tried.money <= best.money:
            break
    return max(best, tried, key=lambda c: c.money)


def planned(sides: Sequence[Side], places: NDArray[np.int64], values: Floats, least: float) -> Common:
    """Each part planned with the shared values held, or scrapped; patiently, as in advice about a single one."""
    whole = np.zeros(len(sides[0].model.layout.nominal))
    whole[places] = values
    values = nearest(sides[0].model, whole)[places]
    plans: list[Plan | None] = []
    money = 0.0
    for side in sides:
        belief, plan = _with(side, places, values, least)
        scrap = side.model.process.scrap
        if too_risky(side.model, belief, plan):
            plans.append(None)
            money += scrap
            continue
        if (renewed := patient(side.model, belief, plan)) is not None:
            plan = replace(plan, value=renewed.value)
        plans.append(plan if plan.value > scrap else None)
        money += max(plan.value, scrap)
    if any(plan is not None for plan in plans):
        money -= once(sides[0], values, places)
    return Common(values, tuple(plans), money)


def once(side: Side, values: Floats, places: NDArray[np.int64]) -> float:
    """Set-ups of the steps whose shared settings leave nominal: paid once, however many parts go on (`plan.cost_of`).

    What stood before is paid already.
    """
    v: Floats = np.zeros(len(side.belief.held))
    v[places] = values
    return set_ups(side.model, np.where(side.belief.free, v, 0.0))


def _with(side: Side, places: NDArray[np.int64], values: Floats, least: float) -> tuple[Belief, Plan]:
    held = side.belief.held.copy()
    held[places] = values
    belief = replace(side.belief, held=held)
    known = _identified(side.model)
    nothing, best = best_plan(side.model, belief, known)
    return belief, best if best.value > nothing.value + least else nothing


def _moved_jointly(sides: Sequence[Side], places: NDArray[np.int64], common: Common) -> Floats:
    """The shared values after they and what each plan touches were moved together to most money.

    As in `plan._refine`, half of the draws choose, the readings count as independent, and the chance is blurred at
    first; a part that is scrapped has no say.
    """
    model = sides[0].model
    free = _identified(model)[places]
    goals = [_Goal(side, plan, places) for side, plan in zip(sides, common.plans, strict=True) if plan is not None]
    x = np.concatenate([common.values, *(goal.start for goal in goals)])
    t = model.tables
    low = np.where(free, t.low[places], common.values)
    high = np.where(free, t.high[places], common.values)
    # A value that stands already may lie beyond what the history has seen; it is not moved further out.
    low, high = np.minimum(low, common.values), np.maximum(high, common.values)
    bounds = list(zip(low, high, strict=True)) + [b for goal in goals for b in goal.bounds]
    count = len(places)

    def loss(x: Floats, blur: float) -> tuple[float, Floats]:
        slope, total, first = np.zeros_like(x), 0.0, count
        for goal in goals:
            last = first + len(goal.start)
            value, by_shared, by_own = goal.loss(x[:count], x[first:last], blur)
            total += value
            slope[:count] += by_shared
            slope[first:last] = by_own
            first = last
        return total, slope

    if not goals:
        return common.values
    for blur in (2.0, 1.0):
        x = minimize(
            loss, x, args=(blur,), jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": ITERATIONS}
        ).x
    values = np.asarray(x[:count])
    return np.where(np.abs(values) < ALIKE, 0.0, values)


class _Goal:
    """Minus the money of one part, as a function of the shared values and of its own settings that its plan touches."""

    def __init__(self, side: Side, plan: Plan, places: NDArray[np.int64]) -> None:
        model, t = side.model, side.model.tables
        ahead = look_ahead(model, side.belief, plan.v, plan.run)
        half = ahead.mean.shape[1] // 2 or 1
        first = int(ahead.places[0])
        touched = np.abs(plan.v) > 1e-9
        touched[places] = False
        mine = np.flatnonzero(touched & side.belief.free & _identified(model))
        mine = mine[mine >= first]
        self.places = np.concatenate([places, mine])
        self.count = len(places)
        self.start = plan.v[mine]
        self.bounds = list(zip(np.minimum(t.low[mine], self.start), np.maximum(t.high[mine], self.start), strict=True))
        self.gain = ahead.gain[:, self.places - first, :half]
        self.rest = ahead.mean[:, :half] - np.einsum("rqn,q->rn", self.gain, plan.v[self.places])
        self.spread = np.sqrt(ahead.cov[np.arange(len(ahead.cov)), np.arange(len(ahead.cov)), :half])
        self.lower, self.upper = ahead.lower[:, None], ahead.upper[:, None]
        self.change = t.change[self.places]
        self.stake = model.process.value - model.process.escape

    def loss(self, shared: Floats, own: Floats, blur: float) -> tuple[float, Floats, Floats]:
        """The loss and its slopes by the shared values and by the part's own."""
        x = np.concatenate([shared, own])
        s = self.spread * blur
        mean = self.rest + np.einsum("rqn,q->rn", self.gain, x)
        a, b = (self.lower - mean) / s, (self.upper - mean) / s
        inside = np.maximum(ndtr(b) - ndtr(a), 1e-12)
        pull = (np.exp(-a * a / 2) - np.exp(-b * b / 2)) / (np.sqrt(2 * np.pi) * s)
        product = inside.prod(axis=0)
        slope = np.einsum("rn,rqn->q", product * pull / inside, self.gain) / product.size
        smooth = np.sqrt(x * x + 1e-6)
        by = self.change * x / smooth - self.stake * slope
        return float(self.change @ smooth - self.stake * product.mean()), by[: self.count], by[self.count :]


def _identified(model: ProcessModel) -> NDArray[np.bool_]:
    return np.array([model.identified.get(name, False) for name in model.process.settings], dtype=bool)
