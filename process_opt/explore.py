"""Exploring within tolerance: a part's plan is varied a little, to learn what settings do, for a stated price.

- Settings whose effect is identified: Thompson sampling. One draw of the parameters is believed, and the plan is moved
  towards what would be best if it were true (Thompson 1933; Russo et al. 2018).
- Settings whose effect is not identified, of the steps to come: a random offset. What the fit says of them is not
  believed; for the sake of the price each draw gets an effect of either sign, as large as the fit's and usual ones.

Each step that may be explored has an equal share of the price. Its move is shortened until the money and the chance to
conform that it is expected to cost are within that share, and dropped where even a small one is not: so that a part
costs no more than the price, however often it is asked about. Chance comes from the request itself, so that the same
request to the same model has the same answer. Settings chosen so depend on nothing that only people saw: told back as
`dither`, they identify.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.belief import Belief
from process_opt.choices import nearest
from process_opt.model import ProcessModel
from process_opt.plan import Plan, make_plan, settle, settle_each
from process_opt.serving import Exploring

Floats = NDArray[np.float64]

SHORTER = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.1)
"""Shares of the move that are tried; below a tenth little is learnt."""
USUAL_EFFECT = 0.5
"""Standard deviation of the effect of a setting before anything is known (`start_estimate`), standardised."""
OFFSET = 1.0
"""Standard deviation of a random offset before it is shortened: as people dither, in the setting's own stretch."""
SMALL = 0.02
"""Moves below this, standardised, are not asked for."""


@dataclass(frozen=True, slots=True)
class Explored:
    """A plan that also teaches."""

    plan: Plan
    """As the cautious model judges it; it only knows the settings and steps of the plan it came from."""
    moved: tuple[str, ...]
    """Settings moved for the sake of learning."""
    price: float
    """Expected money that it costs."""
    fall: float
    """By how much it lowers the chance to conform."""

    def reason(self, model: ProcessModel) -> str:
        """In one sentence."""
        money = f"{self.price:.2f} {model.process.currency}"
        return (
            f"{len(self.moved)} setting{'s' * (len(self.moved) != 1)} moved to learn from it, as the process allows: "
            f"expected to cost {money} and {100 * self.fall:.1f} % of the chance; tell the outcome as dither."
        )

    def as_json(self) -> dict[str, Any]:
        """For the answer."""
        return {
            "settings": list(self.moved),
            "price": round(self.price, 4),
            "chance": round(self.fall, 4),
            "assignment": "dither",
        }


def explore(
    model: ProcessModel, name: str, request: Mapping[str, Any], belief: Belief, best: Plan, rule: Exploring
) -> Explored | None:
    """A plan near `best` that teaches more; None where the price does not allow any.

    Args:
        model: of the part's batch.
        name: id of the model that is served; with the request it decides what chance does.
        best: the plan that would be recommended.
    """
    rng = _chance(name, request)
    known = np.array([model.identified.get(n, False) for n in model.process.settings], dtype=bool)
    later = _later(model, belief.at, best.run) & belief.free
    target = best.v.copy()
    if (known & later).any():
        target = _as_if_true(model, belief, best, known, int(rng.integers(model.size)))
    offset = np.clip(OFFSET * rng.standard_normal(target.size), -2.0, 2.0)
    target = np.where(later & ~known, offset, target)
    move = np.clip(target, model.tables.low, model.tables.high) - best.v
    move = np.where(later & (np.abs(move) >= SMALL), move, 0.0)
    steps = [k for k in _explored(model, rule) if k >= belief.at]
    step_of = model.tables.step_of
    if not any(move[step_of == k].any() for k in steps):
        return None
    price, fall = rule.price / len(_explored(model, rule)), rule.chance / len(_explored(model, rule))
    judge = cautious(model) if (later & ~known & np.isin(step_of, steps)).any() else model
    stay = plan = settle(judge, belief, best.v, best.run)
    for k in steps:
        mine = np.where(step_of == k, move, 0.0)
        if not mine.any():
            continue
        nearer = [nearest(model, plan.v + s * mine) for s in SHORTER]
        tried = settle_each(judge, belief, nearer, [best.run] * len(SHORTER))
        good = (p for p in tried if plan.value - p.value <= price and plan.chance - p.chance <= fall)
        plan = next(good, plan)
    moved = tuple(n for j, n in enumerate(model.process.settings) if plan.v[j] != best.v[j])
    if not moved:
        return None
    return Explored(plan, moved, max(stay.value - plan.value, 0.0), max(stay.chance - plan.chance, 0.0))


def _explored(model: ProcessModel, rule: Exploring) -> list[int]:
    """Places of the steps that may be explored, each for an equal share of the price."""
    return [
        k for k, step in enumerate(model.process.steps) if step.settings and (step.name in rule.steps or not rule.steps)
    ]


@lru_cache(maxsize=8)
def _doubts(name: str, size: int, d: int, count: int) -> Floats:
    """`count x d x size` standard normal numbers, antithetic, the same for a model every time."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
    z = rng.standard_normal((count, d, (size + 1) // 2))
    return np.concatenate([z, -z], axis=2)[:, :, :size]


def cautious(model: ProcessModel) -> ProcessModel:
    """The model without belief in what the fit says of settings that are not identified.

    Their effects are, in each draw, of either sign and as large as the fit's own and `USUAL_EFFECT` together.
    """
    if model.identified and all(model.identified.values()):
        return model
    d, names = model.layout.d, list(model.process.settings)
    z = _doubts(model.process.name, model.size, d, len(names))
    draws = []
    for drawn, levers in zip(model.draws, model.layout.levers, strict=True):
        mine = drawn.copy()
        for j, place in enumerate(levers):
            if not model.identified.get(names[place], False):
                size = np.sqrt(np.mean(drawn[:, 1 + d + j] ** 2) + USUAL_EFFECT**2)
                mine[:, 1 + d + j] = size * z[place]
        draws.append(mine)
    return replace(model, draws=tuple(draws))


def _as_if_true(model: ProcessModel, belief: Belief, best: Plan, known: NDArray[np.bool_], draw: int) -> Floats:
    """The best settings if one draw of the parameters were true."""
    one = replace(model, draws=tuple(w[:, :, draw : draw + 1] for w in model.draws))
    plans = make_plan(one, belief.in_draw(draw), run=best.run, allowed=known, rounds=0)
    return max(plans, key=lambda p: p.value).v


def _later(model: ProcessModel, at: int, run: frozenset[int]) -> NDArray[np.bool_]:
    steps = model.process.steps
    return np.array(
        [
            k >= at and (not steps[k].optional or k in run) and not setting.shared
            for k, setting in model.process.settings.values()
        ],
        dtype=bool,
    )


def _chance(name: str, request: Mapping[str, Any]) -> np.random.Generator:
    told = json.dumps([name, request], sort_keys=True, ensure_ascii=False)
    return np.random.default_rng(int.from_bytes(hashlib.sha256(told.encode()).digest()[:16]))
