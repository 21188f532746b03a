"""Is one more reading worth its cost before deciding: one that is missing, or one taken again?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from process_opt.belief import Belief
from process_opt.model import ProcessModel
from process_opt.outlook import Outlook, look_ahead_each, probabilities
from process_opt.plan import Plan, cost_of, worth

Floats = NDArray[np.float64]

OUTCOMES = 5
"""Possible results of a reading that are looked at: quantiles of what is expected."""
AIMED = 0.8
"""Share of what a reading shows that a plan's settings can be aimed anew at: not all levers reach or are known."""
TELLING = 0.15
"""A reading that is expected to move the end by less than this share of its spread cannot turn a decision."""
LOOKED_AT = 2
"""Readings that may be advised: those that are expected to move the end most. The rest could only add less."""
ROUGHLY, HOPEFUL = 4, 0.5
"""Every fourth draw first; only if these see half of what a reading must add, or more, are all asked."""
FAINT = 1e-12
"""Chances and variances are never taken for less."""
OFTENEST = 3
"""A reading is taken so often at most: by then the gauge's error is nearly halved, and people wait."""


@dataclass(frozen=True)
class Reading:
    """A reading of an earlier step that was not taken, or could be taken again."""

    name: str
    cost: float
    gain: float
    """Expected money it adds, its cost taken off."""
    again: bool = False
    sure: bool = True
    """Worked out with every draw, so that it may be advised; False: told for comparison, with every fourth."""


def best_of(readings: list[Reading], least: float) -> Reading | None:
    """The one that adds most of those that may be advised; None where none adds `least` or more."""
    top = max((r for r in readings if r.sure), key=lambda r: r.gain, default=None)
    return top if top is not None and top.gain >= least else None


def every_reading(
    model: ProcessModel, belief: Belief, best: Plan, nothing: Plan, *, least: float = 0.0
) -> list[Reading]:
    """What each reading that can still be taken, or taken again, is worth; the one that adds most first.

    Only the latest step that measures a coordinate is considered, and the state is taken to have moved on by chance
    alone since: an older look is a noisier look at the state of now. After each possible result the part is scrapped,
    continued, or taken the planned way, aimed anew at what was seen, whichever is then worth most.

    Args:
        least: money that a reading must add; with perfect knowledge a part that is nearly sure either way cannot gain
            that much, and none is advised.
    """
    candidates = _candidates(model, belief)
    if not candidates:
        return []
    plans = [nothing] if best is nothing else [nothing, best]
    outlooks = look_ahead_each(model, belief, [p.v for p in plans], [p.run for p in plans])
    telling: list[tuple[float, str, int, bool, float]] = []
    for name, c, again in candidates:
        k, _ = model.process.measurements[name]
        place = list(model.process.measurements).index(name)
        moved_on = sum(float(model.motions[j].noise[c, c]) for j in range(k + 1, belief.at))
        noise = float(model.gauge[place]) + moved_on
        tells = max(_tells(belief, ahead, c, noise) for ahead in outlooks)
        telling.append((tells, name, c, again, noise))
    sure = not _nearly_sure(model, best, nothing, least)
    found: list[Reading] = []
    for place, (tells, name, c, again, noise) in enumerate(sorted(telling, reverse=True)):
        cost = model.process.steps[model.process.measurements[name][0]].cost
        looked_at = sure and place < LOOKED_AT and tells > TELLING
        few = np.arange(0, model.size, ROUGHLY)
        worth_it = _gain(model, belief, c, noise, plans, outlooks, few, jointly=looked_at)
        advised = looked_at and worth_it - cost > HOPEFUL * least
        if advised:
            worth_it = _gain(model, belief, c, noise, plans, outlooks, np.arange(model.size))
        found.append(Reading(name, cost, worth_it - cost, again, advised))
    return sorted(found, key=lambda r: -r.gain)


def _candidates(model: ProcessModel, belief: Belief) -> list[tuple[str, int, bool]]:
    """Name, coordinate and whether it was taken before: the latest of each coordinate that the history ever held."""
    out, coordinates = [], set()
    places = {name: i for i, name in enumerate(model.process.measurements)}
    for k in range(belief.at - 1, -1, -1):
        step = model.process.steps[k]
        if step.optional:
            continue
        for m in step.measurements:
            place = places[m.name]
            c = int(model.layout.coordinate[place])
            if c in coordinates or not np.isfinite(model.layout.mean[place]):
                continue
            coordinates.add(c)
            again = bool(np.isfinite(belief.readings[place]))
            if not again or belief.often.get(place, 1) < OFTENEST:
                out.append((m.name, c, again))
    return out


def _nearly_sure(model: ProcessModel, best: Plan, nothing: Plan, least: float) -> bool:
    """Could perfect knowledge of the part's fate not add `least`?"""
    process = model.process
    if best.value >= process.scrap:
        return (1 - best.chance) * (process.value - process.escape) < least
    hope = max(best.chance, nothing.chance)
    return hope * (process.value - process.scrap) < least


def _tells(belief: Belief, ahead: Outlook, c: int, noise: float) -> float:
    """How far a reading is expected to move the end, as a share of its spread."""
    variance = belief.cov[c, c] + noise
    moved = np.einsum("rin,in->rn", ahead.response, belief.cov[:, c]) / np.sqrt(variance)
    own = ahead.cov[np.arange(len(ahead.cov)), np.arange(len(ahead.cov))]
    return float((np.abs(moved) / np.sqrt(own)).mean(axis=1).max(initial=0.0))


def _gain(
    model: ProcessModel,
    belief: Belief,
    c: int,
    noise: float,
    plans: list[Plan],
    outlooks: list[Outlook],
    draws: NDArray[np.int64],
    *,
    jointly: bool = True,
) -> float:
    """Money that a reading adds, its cost not taken off.

    Args:
        c, noise: the coordinate that it looks at, and the variance of its error.
        draws: that are asked.
        jointly: the deciding readings are judged together, as a plan is; else each by itself, which is enough where the
            reading is only told for comparison, and takes a tenth of the time where twenty readings decide.
    """
    costs = [cost_of(model, belief, p.v, p.run) for p in plans]
    values = [worth(model, float(p.chances[draws].mean()), cost) for p, cost in zip(plans, costs, strict=True)]
    now = max(model.process.scrap, *values)
    variance = belief.cov[c, c, draws] + noise
    spread = np.sqrt(variance)
    pull = belief.cov[:, c, draws] / variance  # d x D
    middle = belief.mean[c, draws]
    # the same result seen in every draw
    results = middle.mean() + ndtri((np.arange(OUTCOMES) + 0.5) / OUTCOMES) * spread.mean()
    options: list[Floats] = [np.full(OUTCOMES, model.process.scrap)]
    for plan, ahead, cost in zip(plans, outlooks, costs, strict=True):
        moved = np.einsum("rin,in->rn", ahead.response[:, :, draws], pull)
        shifts = moved * (results[:, None, None] - middle)  # OUTCOMES x m x D
        if (plan.v != belief.base).any():
            shifts = shifts - AIMED * shifts.mean(axis=2, keepdims=True)
        # Every result in every draw is one more draw, so that one call judges them all.
        means = (ahead.mean[:, draws] + shifts).transpose(1, 0, 2).reshape(len(moved), -1)
        widen = model.within(belief.at)[list(ahead.deciding)][:, draws]  # what is widened as a whole is so in all parts
        wide = moved * widen
        if jointly:
            cov = np.tile(ahead.cov[:, :, draws] - wide[:, None] * wide[None, :] * variance, OUTCOMES)
            chances = probabilities(replace(ahead, cov=cov), means)
        else:
            chances = _one_by_one(ahead, plan, draws, means, wide**2 * variance)
        options.append(np.array([worth(model, float(p), cost) for p in chances.reshape(OUTCOMES, -1).mean(axis=1)]))
    return float(np.max(options, axis=0).mean() - now)


def _one_by_one(ahead: Outlook, plan: Plan, draws: NDArray[np.int64], means: Floats, known: Floats) -> Floats:
    """The plan's chance after each result, as if what a reading shows changed the chance of each deciding reading by
    itself: times as much as those change, and never more than the least of them.

    Args:
        means: `m x (OUTCOMES n)` for the `n` draws after each result.
        known: `m x n`, what the reading takes off the variances.
    """
    variance = ahead.cov[np.arange(len(ahead.cov)), np.arange(len(ahead.cov))][:, draws]

    def inside(mean: Floats, sd: Floats) -> Floats:
        low, high = ahead.lower[:, None], ahead.upper[:, None]
        return np.asarray(np.maximum(ndtr((high - mean) / sd) - ndtr((low - mean) / sd), FAINT))

    if not ahead.settled or not len(means):
        return np.tile(plan.chances[draws], OUTCOMES)
    before = inside(ahead.mean[:, draws], np.sqrt(variance))
    after = inside(means, np.tile(np.sqrt(np.maximum(variance - known, FAINT)), OUTCOMES))
    times = np.exp(np.log(after).sum(axis=0) - np.tile(np.log(before).sum(axis=0), OUTCOMES))
    return np.asarray(np.minimum(np.tile(plan.chances[draws], OUTCOMES) * times, after.min(axis=0)))
