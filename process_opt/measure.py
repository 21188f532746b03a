"""Is one more reading worth its cost before deciding?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from process_opt.belief import Belief
from process_opt.model import ProcessModel
from process_opt.outlook import Outlook, look_ahead, probabilities
from process_opt.plan import Plan, cost_of, worth

OUTCOMES = 5
"""Possible results of a reading that are looked at: quantiles of what is expected."""


@dataclass(frozen=True)
class Reading:
    """A reading of an earlier step that was not taken."""

    name: str
    cost: float
    gain: float
    """Expected money it adds, its cost taken off."""


def readings_worth_taking(model: ProcessModel, belief: Belief, best: Plan, nothing: Plan) -> Reading | None:
    """The missing reading that adds most, or None where none adds anything.

    Only the latest step that measures a coordinate is considered, and the state is taken to have moved on by chance
    alone since:
    an older look is a noisier look at the state of now. After each possible result the part is scrapped, continued,
    or taken
    the planned way, whichever is then worth most.
    """
    found: list[Reading] = []
    coordinates: set[int] = set()
    plans = [nothing] if best is nothing else [nothing, best]
    outlooks: list[Outlook] = []
    for k in range(belief.at - 1, -1, -1):
        step = model.process.steps[k]
        if step.optional:
            continue
        for m in step.measurements:
            place = list(model.process.measurements).index(m.name)
            c = int(model.layout.coordinate[place])
            if c in coordinates or np.isfinite(belief.readings[place]):
                coordinates.add(c)
                continue
            coordinates.add(c)
            drift = sum(float(model.motions[j].noise[c, c]) for j in range(k + 1, belief.at))
            noise = float(model.gauge[place]) + drift
            if float(belief.cov[c, c].mean()) < noise:
                continue
            outlooks = outlooks or [look_ahead(model, belief, plan.v, plan.run) for plan in plans]
            worthwhile = _gain(model, belief, c, noise, plans, outlooks)
            found.append(Reading(m.name, step.cost, worthwhile - step.cost))
    return max(found, key=lambda r: r.gain, default=None)


def _gain(
    model: ProcessModel,
    belief: Belief,
    c: int,
    noise: float,
    plans: list[Plan],
    outlooks: list[Outlook],
) -> float:
    now = max([model.process.scrap] + [p.value for p in plans])
    variance = belief.cov[c, c] + noise
    spread = np.sqrt(variance)
    pull = belief.cov[:, c] / variance  # d x D
    values = np.zeros(OUTCOMES)
    for o, z in enumerate(ndtri((np.arange(OUTCOMES) + 0.5) / OUTCOMES)):
        # the same result seen in every draw
        result = float(belief.mean[c].mean() + z * spread.mean())
        options = [model.process.scrap]
        for plan, ahead in zip(plans, outlooks, strict=True):
            moved = np.einsum("rin,in->rn", ahead.response, pull)
            after = replace(ahead, cov=ahead.cov - moved[:, None] * moved[None, :] * variance)
            chances = probabilities(after, ahead.mean + moved * (result - belief.mean[c]))
            options.append(worth(model, float(chances.mean()), cost_of(model, plan.v, belief.at, plan.run)))
        values[o] = max(options)
    return float(values.mean() - now)
