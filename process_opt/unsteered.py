"""Histories on which people chose every setting, seeing the part: what they say of a part left alone, and of one that
people go on correcting.

Where no setting was ever drawn at random, the rows show the step together with the hands that steer it: `x' = A x + b v
+ w` with `v = a + K x + e` shows `A + b K` and little of `A` and `b` apart, for what people saw and did not log ties
`e` to `w`. A correlation of `r` between the two moves `b` by `r sd(w) / sd(e)` and `A` by as much times `-K`, and no
row contradicts it. So the draws of such a fit differ by it: what a part does that is left at nominal settings is not
promised as if it had been seen. What people as a whole bring about is known, though: `handled` is the model of a part
that they go on correcting as they always did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from process_opt.estimate import Data, Estimate
    from process_opt.model import ProcessModel

Floats = NDArray[np.float64]

FEWEST_DITHERED = 40
"""Dithered parts that show what the steps do by themselves."""
TIED = 0.4
"""Standard deviation of `r`, before anything is known: a look that nobody logged explains a sixth of what is left."""
MEAN_SIZE = 0.8
"""Of a normal number, in its standard deviations."""


@dataclass(frozen=True)
class Hands:
    """How people choose each of `S` settings from the state before the step, standardised."""

    constant: Floats
    """`S`"""
    response: Floats
    """`S x d`"""
    sd: Floats
    """`S`: what their choice does not follow from the state; 0 where people did not choose."""

    def as_json(self) -> dict[str, Any]:
        """To be kept with the model."""
        return {
            "constant": self.constant.round(6).tolist(),
            "response": self.response.round(6).tolist(),
            "sd": self.sd.round(6).tolist(),
        }


def hands_of(told: Mapping[str, Any]) -> Hands:
    """As `Hands.as_json` gave it."""
    return Hands(*(np.array(told[name], dtype=float) for name in ("constant", "response", "sd")))


def only_people(estimate: Estimate, data: Data) -> Hands | None:
    """How people chose, where hardly a row was chosen otherwise; else None."""
    if int((~data.people).sum()) >= FEWEST_DITHERED:
        return None
    count, d = len(data.v), estimate.layout.d
    out = Hands(np.zeros(count), np.zeros((count, d)), np.zeros(count))
    for place, row in enumerate(data.v):
        values = row[np.isfinite(row)]
        if (habit := estimate.habits.get(place)) is not None:
            out.constant[place] = habit.constant
            out.response[place] = habit.seen + habit.logged
            out.sd[place] = np.sqrt(habit.noise)
        elif values.size > 1 and values.std() > 0:
            out.constant[place], out.sd[place] = values.mean(), values.std()
    return out


def doubted(estimate: Estimate, draws: list[Floats], hands: Hands, rng: np.random.Generator) -> list[Floats]:
    """The draws (`d x F x D` for each step), each with its own opinion of what people did and what happened anyway."""
    d, out = estimate.layout.d, []
    for motion, drawn, levers in zip(estimate.motions, draws, estimate.layout.levers, strict=True):
        mine, size = drawn.copy(), drawn.shape[2]
        for j, place in enumerate(levers):
            if hands.sd[place] <= 0:
                continue
            z = rng.standard_normal((d, size // 2))
            tied = np.clip(TIED * np.hstack([z, -z]), -1.0, 1.0)
            off = tied * (np.sqrt(np.diag(motion.noise)) / hands.sd[place])[:, None]
            mine[:, 1 + d + j] += off
            mine[:, 0] -= off * hands.constant[place]
            mine[:, 1 : d + 1] -= off[:, None] * hands.response[place][None, :, None]
        out.append(mine)
    return out


def handled(model: ProcessModel, hands: Hands) -> ProcessModel:
    """The model of a part that people go on correcting as they always did: what the rows show as a whole."""
    d = model.layout.d
    motions, draws = [], []
    for motion, drawn, levers in zip(model.motions, model.draws, model.layout.levers, strict=True):
        mine, noise = drawn.copy(), motion.noise.copy()
        for j, place in enumerate(levers):
            acts = drawn[:, 1 + d + j]
            mine[:, 0] += acts * hands.constant[place]
            mine[:, 1 : d + 1] += acts[:, None] * hands.response[place][None, :, None]
            noise += np.outer(acts.mean(axis=1), acts.mean(axis=1)) * hands.sd[place] ** 2
        motions.append(replace(motion, noise=noise))
        draws.append(mine)
    return replace(model, motions=tuple(motions), draws=tuple(draws))


def usual_cost(model: ProcessModel, hands: Hands, at: int) -> float:
    """What people's changes cost from step `at` on, on average: money."""
    t = model.tables
    moved = MEAN_SIZE * np.sqrt(hands.constant**2 + (hands.response**2).sum(axis=1) + hands.sd**2)
    moved = np.where((t.step_of >= at) & ~t.optional[t.step_of], moved, 0.0)
    steps = np.unique(t.step_of[moved > 0])
    return float(t.change @ moved + t.setup[steps].sum())
