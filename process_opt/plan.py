"""The remaining settings of one part: few changes, most money.

Value of a plan = value x P + escape x (1 - P) - cost of changes - set-ups, P averaged over the draws. Steps are
taken into the plan one by one by how much they bring the readings towards the middle of their limits (least squares),
the sets are refined side by side on the money itself from there, with the chance blurred at first, so that a part far
out still feels the way. Half of the draws choose, all judge: those that chose a plan overestimate it most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from process_opt.belief import Belief
from process_opt.descend import descend
from process_opt.farther import DOUBT, doubt, far
from process_opt.model import ProcessModel
from process_opt.outlook import Outlook, look_ahead, look_ahead_each, probabilities

Floats = NDArray[np.float64]

EFFORTS = (1, 2, 3, 4, 5, 6, 8, 11)
"""How many steps the plans touch that are compared: more is more than people carry out, and gains little."""
ENOUGH = 1e-5
"""Share of what is at stake that one more step of the search must promise: a thousandth of what is worth a change."""
NEAR_THE_END = 1e-3
"""Standardised: a setting this near to where the history has seen nothing more would go on."""
GOOD_ENOUGH = 0.97
"""With a chance this high nothing further earns its cost; looking for it would only take time."""
JUDGED = 3
"""Of these plans, how many are judged by all draws and all readings jointly: those that the search likes best."""


@dataclass(frozen=True)
class Plan:
    """Settings of the remaining steps and what they are worth."""

    v: Floats
    """`S` settings, standardised; 0 is nominal."""
    run: frozenset[int]
    """Places of the optional steps to run."""
    chances: Floats
    """`D`: chance to conform in each draw."""
    value: float
    """Expected money from here on."""

    @property
    def chance(self) -> float:
        """To conform, over all draws."""
        return float(self.chances.mean())

    def interval(self) -> list[float]:
        """Where the true chance lies with 90 %, as it is told: rounded outwards to four places.

        A truth that is one more draw like the `D` known ones lies between the `i`-th and the `j`-th of them with
        `(j - i) / (D + 1)` (Wilks 1941), so that the ends stand at ranks `0.05 (D + 1)` and `0.95 (D + 1)`. Between
        those of numpy's usual quantiles would lie 0.87 where `D` is 64.
        """
        low, high = np.quantile(self.chances, [0.05, 0.95], method="weibull")
        low, high = min(float(low), self.chance), max(float(high), self.chance)
        return [math.floor(low * 1e4 + 1e-6) / 1e4, math.ceil(high * 1e4 - 1e-6) / 1e4]


def cost_of(model: ProcessModel, belief: Belief, v: Floats, run: frozenset[int]) -> float:
    """Running the remaining steps, set-ups and changes.

    A step is set up once for all parts of a batch, so what is decided for the batch costs the part no set-up: that is
    paid whether this part goes on or not.
    """
    t = model.tables
    ran = ~t.optional
    ran[list(run)] = True
    ran[: belief.at] = False
    moved = np.abs(v) * ran[t.step_of]
    own = belief.free | ~t.shared
    return float(t.cost @ ran + t.change @ moved + set_ups(model, np.where(own, moved, 0.0)))


def set_ups(model: ProcessModel, v: Floats) -> float:
    """Leaving nominal, once at each step that has a setting which does."""
    t = model.tables
    return float(t.setup[np.unique(t.step_of[np.abs(v) > 1e-9])].sum())


def worth(model: ProcessModel, chance: float, cost: float) -> float:
    """Expected money of a part that conforms with `chance`."""
    return chance * model.process.value + (1 - chance) * model.process.escape - cost


def settle(model: ProcessModel, belief: Belief, v: Floats, run: frozenset[int], *, replanned: bool = False) -> Plan:
    """A plan as it stands, judged; `replanned`: as the first of plans that are renewed after every later reading."""
    chances = probabilities(look_ahead(model, belief, v, run, replanned=replanned))
    return Plan(v, run, chances, worth(model, float(chances.mean()), cost_of(model, belief, v, run)))


def settle_each(model: ProcessModel, belief: Belief, vs: list[Floats], runs: list[frozenset[int]]) -> list[Plan]:
    """`settle` for several plans at once."""
    ahead = look_ahead_each(model, belief, vs, runs)
    return [_judge(model, belief, o, v, run) for o, v, run in zip(ahead, vs, runs, strict=True)]


def make_plan(
    model: ProcessModel,
    belief: Belief,
    *,
    run: frozenset[int] = frozenset(),
    allowed: NDArray[np.bool_],
    rounds: int = 1,
) -> list[Plan]:
    """Plans of increasing effort, the best first; one of them does nothing beyond what is decided already.

    Args:
        run: optional steps that are run.
        allowed: `S`, settings that may be moved.
        rounds: how often a bent process is approximated anew around the plan.
    """
    start = belief.base
    outlook = look_ahead(model, belief, start, run)
    plans = [_judge(model, belief, outlook, start, run)]
    if outlook.mean.shape[0] == 0 or not outlook.settled:
        return plans
    groups = _groups(model, belief.at, run, outlook, allowed & belief.free)
    found = _search(model, outlook, groups) if groups else []
    if not any(model.bent[belief.at :]):
        plans += [_judge(model, belief, outlook, v, run) for v in found]
        if _ends_where_sight_ends(model, max(plans, key=lambda p: p.value)):
            plans += [_judge(model, belief, outlook, v, run) for v in _search(model, outlook, groups, farther=True)]
        return sorted(plans, key=lambda p: -p.value)
    found = found[:2]
    ahead = look_ahead_each(model, belief, found, [run] * len(found)) if found else []
    outlooks = [outlook, *ahead]
    plans += [_judge(model, belief, o, v, run) for o, v in zip(ahead, found, strict=True)]
    for _ in range(rounds):
        top = max(range(len(plans)), key=lambda i: plans[i].value)
        best = plans[top]
        refined = _aimed_anew(model, outlooks[top], best.v, belief.free)
        if refined is None:
            break
        outlooks.append(look_ahead(model, belief, refined, run))
        plans.append(_judge(model, belief, outlooks[-1], refined, run))
        if plans[-1].value <= best.value + 1e-3:
            break
    return sorted(plans, key=lambda p: -p.value)


def _ends_where_sight_ends(model: ProcessModel, plan: Plan) -> bool:
    """Would the plan go on where the history has seen nothing more, for a chance that is not good enough?"""
    t = model.tables
    at_most = (plan.v > t.high - NEAR_THE_END) & (t.most > t.high)
    at_least = (plan.v < t.low + NEAR_THE_END) & (t.least < t.low)
    return plan.chance < GOOD_ENOUGH and bool((at_most | at_least).any())


def aim_anew(model: ProcessModel, belief: Belief, plan: Plan) -> Plan:
    """The same settings moved, no others, to where they bring most; the plan itself if that is nowhere else."""
    refined = _aimed_anew(model, look_ahead(model, belief, plan.v, plan.run), plan.v, belief.free)
    return plan if refined is None else max(plan, settle(model, belief, refined, plan.run), key=lambda p: p.value)


def _aimed_anew(model: ProcessModel, outlook: Outlook, v: Floats, free: NDArray[np.bool_]) -> Floats | None:
    touched = np.flatnonzero((np.abs(v) > 1e-9)[outlook.places] & free[outlook.places])
    farther = bool(far(model.tables, outlook.places, v[outlook.places]).any())
    return _refine(model, outlook, [touched], v, trust=0.7, farther=farther)[0] if touched.size else None


def _judge(model: ProcessModel, belief: Belief, outlook: Outlook, v: Floats, run: frozenset[int]) -> Plan:
    move = v[outlook.places] - outlook.v
    used = np.flatnonzero(move)
    mean = outlook.mean + np.einsum("rqn,q->rn", outlook.gain[:, used], move[used])
    places = outlook.places
    beyond, before = far(model.tables, places, v[places]), far(model.tables, places, outlook.v)
    if beyond.any() or before.any():
        outlook = replace(outlook, cov=outlook.cov + doubt(outlook.gain, beyond) - doubt(outlook.gain, before))
    chances = probabilities(outlook, mean)
    return Plan(v, run, chances, worth(model, float(chances.mean()), cost_of(model, belief, v, run)))


def _groups(
    model: ProcessModel, at: int, run: frozenset[int], outlook: Outlook, allowed: NDArray[np.bool_]
) -> list[NDArray[np.int64]]:
    """Columns of the outlook for each step whose settings may be moved and matter."""
    t = model.tables
    ran = ~t.optional
    ran[list(run)] = True
    step = t.step_of[outlook.places]
    reach = np.abs(outlook.gain).max(axis=(0, 2), initial=0.0) > 1e-9
    good = allowed[outlook.places] & ran[step] & reach
    return [np.flatnonzero(good & (step == k)) for k in range(at, len(ran)) if (good & (step == k)).any()]


def _search(
    model: ProcessModel, outlook: Outlook, groups: list[NDArray[np.int64]], *, farther: bool = False
) -> list[Floats]:
    """The plans of some of the EFFORTS that look best, the best first; what is not searched stays as the outlook has
    it.

    Args:
        farther: beyond what the history has seen, too.
    """
    left, right = _least_squares(outlook)
    low, high = _bounds(model, outlook.places, farther=farther)
    order = _order(left, right, groups, low, high)
    sets = [np.concatenate(order[:n]) for n in EFFORTS if n <= len(order)]
    start: Floats = np.zeros(len(model.layout.nominal))
    start[outlook.places] = outlook.v
    return _refine(model, outlook, sets, start, farther=farther)[:JUDGED]


def _bounds(model: ProcessModel, places: NDArray[np.int64], *, farther: bool) -> tuple[Floats, Floats]:
    t = model.tables
    return (t.least[places], t.most[places]) if farther else (t.low[places], t.high[places])


def _order(
    left: Floats, right: Floats, groups: list[NDArray[np.int64]], low: Floats, high: Floats
) -> list[NDArray[np.int64]]:
    """Groups one after another, each the one that with those before brings the readings nearest to the middle."""
    none = len(right)
    left = np.pad(left, (0, 1))
    left[none, none] = 1.0
    right, low, high = (np.append(a, 0.0) for a in (right, low, high))
    widest = max(len(g) for g in groups)
    rest = np.array([np.pad(g, (0, widest - len(g)), constant_values=none) for g in groups])
    places = list(range(len(groups)))
    active: list[int] = []
    out: list[NDArray[np.int64]] = []
    while places and len(out) < EFFORTS[-1]:
        q = np.hstack([np.tile(np.array(active, dtype=np.int64), (len(places), 1)), rest[places]])
        a, b = left[q[:, :, None], q[:, None, :]].copy(), right[q]
        twice = (q == none)[:, :, None] & (q == none)[:, None, :] & ~np.eye(q.shape[1], dtype=bool)
        a[twice] = 0.0
        x = np.clip(np.linalg.solve(a, b[:, :, None])[:, :, 0], low[q], high[q])
        score = np.einsum("gi,gij,gj->g", x, a, x) / 2 - (b * x).sum(axis=1)
        g = places.pop(int(np.argmin(score)))
        out.append(groups[g])
        active += groups[g].tolist()
    return out


def _least_squares(outlook: Outlook) -> tuple[Floats, Floats]:
    """Normal equations of bringing the readings to the middle of their limits, averaged over the choosing draws.

    The unknowns are moves away from the plan that the outlook was worked out at.
    """
    half = outlook.mean.shape[1] // 2 or 1
    gain, mean, cov = outlook.gain[:, :, :half], outlook.mean[:, :half], outlook.cov[:, :, :half]
    sd = np.sqrt(cov[np.arange(len(cov)), np.arange(len(cov))].mean(axis=1))
    target = np.where(
        np.isfinite(outlook.lower) & np.isfinite(outlook.upper),
        (outlook.lower + outlook.upper) / 2,
        np.where(np.isfinite(outlook.lower), outlook.lower + 2.5 * sd, outlook.upper - 2.5 * sd),
    )
    width = np.where(np.isfinite(outlook.upper - outlook.lower), (outlook.upper - outlook.lower) / 2, 2.5 * sd)
    weight = 1 / np.maximum(width, 1e-9)[:, None, None]
    scaled = gain * weight
    left = np.einsum("rpn,rqn->pq", scaled, scaled) / half
    right = np.einsum("rpn,rn->p", scaled, (target[:, None] - mean) * weight[:, 0]) / half
    return left + 1e-3 * np.eye(len(left)), right


def _refine(
    model: ProcessModel,
    outlook: Outlook,
    sets: list[NDArray[np.int64]],
    v: Floats,
    trust: float | None = None,
    farther: bool = False,
) -> list[Floats]:
    """For each set of columns, its settings moved from `v` to most money; the plans, most promising first.

    Half of the draws choose; the readings count as independent here, which only the final judgement corrects.
    """
    t = model.tables
    columns = np.unique(np.concatenate(sets))
    use = np.array([np.isin(columns, s) for s in sets])
    places = outlook.places[columns]
    half = outlook.mean.shape[1] // 2 or 1
    rows = len(outlook.mean)
    gain = np.ascontiguousarray(outlook.gain[:, columns, :half].transpose(1, 0, 2)).reshape(len(columns), -1)
    x0 = np.where(use, v[places], 0.0)
    here = outlook.mean[:, :half] + np.einsum("rqn,q->rn", outlook.gain[:, :, :half], v[outlook.places] - outlook.v)
    rest = here.ravel() - v[places] @ gain
    spread = np.sqrt(outlook.cov[np.arange(rows), np.arange(rows), :half])
    stake = model.process.value - model.process.escape
    change = t.change[places]
    low, high = _bounds(model, places, farther=farther)
    unknown = DOUBT**2 * gain**2 if farther else None
    if trust is not None:
        low, high = np.maximum(low, v[places] - trust), np.minimum(high, v[places] + trust)
    lower, upper = outlook.lower[:, None], outlook.upper[:, None]

    def loss(x: Floats, blur: float) -> tuple[Floats, Floats]:
        s = spread * blur
        if unknown is not None:  # the slope leaves out that doubt grows with every step further
            s = np.sqrt(s**2 + (far(t, places, x) ** 2 @ unknown).reshape(len(x), rows, half))
        mean = (rest + x @ gain).reshape(len(x), rows, half)
        a, b = (lower - mean) / s, (upper - mean) / s
        inside = np.maximum(ndtr(b) - ndtr(a), 1e-12)
        pull = (np.exp(-a * a / 2) - np.exp(-b * b / 2)) / (np.sqrt(2 * np.pi) * s)
        product = inside.prod(axis=1)
        gradient = (product[:, None] * pull / inside).reshape(len(x), -1) @ gain.T / half
        smooth = np.sqrt(x * x + 1e-6)
        cost = (smooth * change) @ np.ones(len(change))
        return cost - stake * product.mean(axis=1), np.where(use, change * x / smooth - stake * gradient, 0.0)

    left, right = _least_squares(outlook)
    inside = np.eye(len(columns)) * 0.3 + left[np.ix_(columns, columns)]
    curve = np.where(use[:, :, None] & use[:, None, :], inside, np.eye(len(columns)))
    inverse = np.linalg.inv(curve)
    if trust is None:
        x0 = np.where(use, (inverse @ np.where(use, right[columns], 0.0)[:, :, None])[:, :, 0], 0.0)
    enough = ENOUGH * stake
    x = descend(lambda x: loss(x, 2.0), x0, low, high, use, inverse / stake, iterations=7, enough=enough)
    x = descend(lambda x: loss(x, 1.0), x, low, high, use, inverse / stake, iterations=10, enough=enough)
    x = np.where(use & (np.abs(x) >= 0.02), x, 0.0)
    setups = np.zeros((len(sets), len(t.setup)))
    for c, p in np.argwhere(x != 0.0):
        setups[c, t.step_of[places[p]]] = t.setup[t.step_of[places[p]]]
    total = loss(x, 1.0)[0] + setups.sum(axis=1)
    out = []
    for c in np.argsort(total, kind="stable"):
        plan = v.copy()
        plan[places[use[c]]] = x[c][use[c]]
        out.append(plan)
    return out
