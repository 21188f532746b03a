"""The remaining settings of one part: few changes, most money.

Value of a plan = value x P + escape x (1 - P) - cost of changes - set-ups, P averaged over the draws. Steps are
taken into the
plan one by one by how much they bring the readings towards the middle of their limits (least squares), each set is
refined on the
money itself from there, with the chance blurred at first, so that a part far out still feels the way. Half of the draws
choose, the other half judge: the chosen plan is the one most overestimated by those that chose it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import ndtr

from process_opt.belief import Belief
from process_opt.model import ProcessModel
from process_opt.outlook import Outlook, look_ahead, probabilities

Floats = NDArray[np.float64]

STEPS_AT_MOST = 12
"""Steps touched by a plan: more is more than people carry out, and gains little."""


SEEN, SEEN_BENT = 2.5, 2.0
"""Standard deviations of its variation in the history within which a setting is moved; beyond, nobody knows what it
does.
Nearer where its effect is bent: the curve is least known at its ends."""


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


@dataclass(frozen=True)
class Prices:
    """Money of the remaining settings, standardised."""

    change: Floats
    """`S`: for one standard deviation away from nominal."""
    low: Floats
    high: Floats
    """`S`: limits."""


def prices(model: ProcessModel) -> Prices:
    """Costs and limits of all settings in the model's units."""
    s = [x for _, x in model.process.settings.values()]
    stretch, nominal = model.layout.stretch, model.layout.nominal
    bent = np.array([model.bent[k] for k, _ in model.process.settings.values()], dtype=bool)
    seen = np.where(bent, SEEN_BENT, SEEN)
    return Prices(
        change=np.array([x.change_cost for x in s]) * stretch,
        low=np.maximum((np.array([x.low for x in s]) - nominal) / stretch, -seen),
        high=np.minimum((np.array([x.high for x in s]) - nominal) / stretch, seen),
    )


def cost_of(model: ProcessModel, v: Floats, at: int, run: frozenset[int]) -> float:
    """Running the remaining steps, set-ups and changes."""
    change = prices(model).change
    total = 0.0
    for k in range(at, len(model.process.steps)):
        step = model.process.steps[k]
        if step.optional and k not in run:
            continue
        places = list(model.layout.levers[k])
        total += step.cost + float((change[places] * np.abs(v[places])).sum())
        if np.any(np.abs(v[places]) > 1e-9):
            total += step.setup_cost
    return total


def worth(model: ProcessModel, chance: float, cost: float) -> float:
    """Expected money of a part that conforms with `chance`."""
    return chance * model.process.value + (1 - chance) * model.process.escape - cost


def settle(model: ProcessModel, belief: Belief, v: Floats, run: frozenset[int], *, replanned: bool = False) -> Plan:
    """A plan as it stands, judged; `replanned`: as the first of plans that are renewed after every later reading."""
    chances = probabilities(look_ahead(model, belief, v, run, replanned=replanned))
    return Plan(v, run, chances, worth(model, float(chances.mean()), cost_of(model, v, belief.at, run)))


def make_plan(
    model: ProcessModel,
    belief: Belief,
    *,
    run: frozenset[int] = frozenset(),
    allowed: NDArray[np.bool_],
    rounds: int = 1,
    replanned: bool = False,
) -> list[Plan]:
    """Plans of increasing effort, the best first.

    Args:
        run: optional steps that are run.
        allowed: `S`, settings that may be moved.
        rounds: how often a bent process is approximated anew around the plan.
        replanned: plan for settings that are chosen anew after every later reading.
    """
    start = np.zeros(len(model.layout.nominal))
    outlook = look_ahead(model, belief, start, run, replanned=replanned)
    plans = [_judge(model, belief, outlook, start, run)]
    if outlook.mean.shape[0] == 0 or not outlook.settled:
        return plans
    bent = any(model.bent[belief.at :])
    money = prices(model)
    found = _search(model, belief, outlook, run, allowed, money)
    if bent and len(found) > 2:  # each needs a pass of its own: judge those that the tangent likes best
        found = sorted(found, key=lambda v: -_judge(model, belief, outlook, v, run).value)[:2]
    for v in found:
        plan = settle(model, belief, v, run, replanned=replanned) if bent else _judge(model, belief, outlook, v, run)
        plans.append(plan)
    plans.sort(key=lambda p: -p.value)
    if bent:
        for _ in range(rounds):
            best = plans[0]
            again = look_ahead(model, belief, best.v, run, replanned=replanned)
            touched = allowed & (np.abs(best.v) > 1e-9)
            if not touched.any():
                break
            refined = _refine(model, again, np.flatnonzero(touched[again.places]), best.v, money, trust=0.7)
            plan = settle(model, belief, refined, run, replanned=replanned)
            if plan.value <= best.value + 1e-3:
                break
            plans.insert(0, plan)
    return plans


def _judge(model: ProcessModel, belief: Belief, outlook: Outlook, v: Floats, run: frozenset[int]) -> Plan:
    mean = outlook.mean + np.einsum("rqn,q->rn", outlook.gain, v[outlook.places] - outlook.v)
    chances = probabilities(outlook, mean)
    return Plan(v, run, chances, worth(model, float(chances.mean()), cost_of(model, v, belief.at, run)))


def _search(
    model: ProcessModel,
    belief: Belief,
    outlook: Outlook,
    run: frozenset[int],
    allowed: NDArray[np.bool_],
    money: Prices,
) -> list[Floats]:
    """Plans touching 1, 2, 3, ... steps."""
    groups = _groups(model, belief.at, run, outlook, allowed)
    left, right = _least_squares(outlook)
    low, high = money.low[outlook.places], money.high[outlook.places]
    active: list[int] = []
    out: list[Floats] = []
    best_value, worse = -np.inf, 0
    while groups and len(out) < STEPS_AT_MOST and worse < 2:
        scored = []
        for g, columns in enumerate(groups):
            q = active + columns
            x = np.clip(np.linalg.solve(left[np.ix_(q, q)], right[q]), low[q], high[q])
            scored.append((float(x @ left[np.ix_(q, q)] @ x / 2 - right[q] @ x), g, x))
        _, g, x = min(scored, key=lambda s: s[0])
        active += groups.pop(g)
        v: Floats = np.zeros(len(model.layout.nominal))
        v[outlook.places[active]] = x
        v = _refine(model, outlook, np.array(active), v, money)
        out.append(v)
        value = _judge(model, belief, outlook, v, run).value
        worse = 0 if value > best_value + 1e-3 else worse + 1
        best_value = max(value, best_value)
    return out


def _groups(
    model: ProcessModel, at: int, run: frozenset[int], outlook: Outlook, allowed: NDArray[np.bool_]
) -> list[list[int]]:
    column = {int(p): q for q, p in enumerate(outlook.places)}
    groups = []
    for k in range(at, len(model.process.steps)):
        if model.process.steps[k].optional and k not in run:
            continue
        columns = [column[p] for p in model.layout.levers[k] if allowed[p]]
        if columns and np.abs(outlook.gain[:, columns]).max() > 1e-9:
            groups.append(columns)
    return groups


def _least_squares(outlook: Outlook) -> tuple[Floats, Floats]:
    """Normal equations of bringing the readings to the middle of their limits, averaged over the choosing draws."""
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
    right = (
        np.einsum("rpn,rn->p", scaled, ((target - outlook.v @ gain.mean(axis=2).T)[:, None] - mean) * weight[:, 0])
        / half
    )
    return left + 1e-3 * np.eye(len(left)), right


def _refine(
    model: ProcessModel,
    outlook: Outlook,
    columns: NDArray[np.int64],
    v: Floats,
    money: Prices,
    trust: float | None = None,
) -> Floats:
    """The settings in `columns` of the outlook moved to most money; the others stay as in `v`."""
    half = outlook.mean.shape[1] // 2 or 1
    places = outlook.places[columns]
    gain = outlook.gain[:, columns, :half]
    rest = outlook.mean[:, :half] + np.einsum("rqn,q->rn", outlook.gain[:, :, :half], v[outlook.places] - outlook.v)
    x0 = v[places]
    rest = rest - np.einsum("rqn,q->rn", gain, x0)
    rows = np.arange(len(outlook.cov))
    sd = np.sqrt(outlook.cov[rows, rows, :half])
    stake = model.process.value - model.process.escape
    change = money.change[places]
    low, high = money.low[places], money.high[places]
    if trust is not None:
        low, high = np.maximum(low, x0 - trust), np.minimum(high, x0 + trust)

    def loss(x: Floats, blur: float) -> tuple[float, Floats]:
        s = sd * blur
        mean = rest + np.einsum("rqn,q->rn", gain, x)
        a, b = (outlook.lower[:, None] - mean) / s, (outlook.upper[:, None] - mean) / s
        inside = np.maximum(ndtr(b) - ndtr(a), 1e-12)
        slope = (np.exp(-a * a / 2) - np.exp(-b * b / 2)) / (np.sqrt(2 * np.pi) * s)
        product = inside.prod(axis=0)
        gradient = np.einsum("rn,rqn->q", product * slope / inside, gain) / half
        smooth = np.sqrt(x * x + 1e-6)
        return -stake * float(product.mean()) + float(change @ smooth), -stake * gradient + change * x / smooth

    x = np.clip(x0, low, high)
    bounds = list(zip(low, high, strict=True))
    for blur, iterations in ((2.0, 8), (1.0, 12)):
        x = minimize(
            loss, x, args=(blur,), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations}
        ).x
    out = v.copy()
    out[places] = np.where(np.abs(x) < 0.02, 0.0, x)
    return out
