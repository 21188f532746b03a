"""Does a setting come to light only steps later, by something of the part that nobody measures (a stress that springs
back)? Nothing between would show it, and the model would take it for the later step's chance.

Asked of the dithered parts, because there a setting goes with nothing but what it does: the score of each setting's
effect on each later step, after the scores of what it does at once are projected out (so that an own effect which is
somewhat off is no reason). Where it is many standard deviations from nothing, the later step gets that setting as one
more of its own (`Motion.late`), estimated with everything else. No graph that people declared is believed in this.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from process_opt.estimate import Data, Estimate, usable

Floats = NDArray[np.float64]

FEWEST = 200
"""Dithered parts below which nothing is looked for."""
MOST = 4000
"""Parts that are looked at; more would show effects too small to matter."""
SURE = 5.0
"""Standard deviations by which a score must differ from nothing: among some ten thousand none passes by luck."""
MOST_WEIGHTS = 2600
"""Of the whole process, as in `nonlinear.py`."""


def late_effects(estimate: Estimate, data: Data) -> list[tuple[int, ...]]:
    """For each step the setting of an earlier step that most clearly comes to light there, by place, if any does.

    One at a time for each step, and for each setting the one step where it shows most: what is not yet in the model
    leaks to the steps around, and bends what the step carries on, so that other settings seem to come late too. Asked
    again with those found before, it finds the rest.
    """
    steps, d = len(estimate.motions), estimate.layout.d
    chosen: list[tuple[int, ...]] = [()] * steps
    rows = np.flatnonzero(~data.people)
    if rows.size < FEWEST:
        return chosen
    few = data.rows(rows[:: -(-rows.size // MOST)])
    pull = _pulls(estimate, few)
    optional = [step.optional for step in estimate.process.steps]
    weights = sum(m.weights.size for m in estimate.motions)
    found: list[tuple[float, int, int]] = []
    for origin, places in enumerate(estimate.layout.levers):
        if optional[origin] or origin == steps - 1:
            continue
        for place in places:
            z2 = _scores(pull[origin], pull[origin + 1 :], few.v[place])
            for k in range(origin + 1, steps):
                if place in estimate.motions[k].late:
                    z2[k - origin - 1] = 0.0
            k = int(np.argmax(z2))
            if z2[k] > SURE**2:
                found.append((float(z2[k]), origin + 1 + k, place))
    for _, k, place in sorted(found, reverse=True):
        if chosen[k]:
            continue
        weights += d
        if weights > MOST_WEIGHTS:
            break
        chosen[k] = (place,)
    return chosen


def _pulls(estimate: Estimate, data: Data) -> Floats:
    """`T x d x N`: derivative of each part's log likelihood with respect to a shift at each step."""
    out = np.zeros((len(estimate.motions), estimate.layout.d, data.size))
    first = 0
    for part in data.chunks():
        path = estimate.path(part)
        x0 = path.start
        for k, motion in enumerate(estimate.motions):
            r = estimate.left_over(part, k, x0, path.mean[k]) * usable(estimate, part, k)
            out[k, :, first : first + part.size] = np.linalg.solve(motion.noise, r)
            x0 = path.mean[k]
        first += part.size
    return out


def _scores(own: Floats, later: Floats, v: Floats) -> Floats:
    """Squared standardised scores of a setting's effect on each later step (the largest over the coordinates), given
    that its own effect is free: own `d x N`, later `L x d x N`, `v` the setting `N`. By the parts' own scatter, so that
    heavy tails do not feign an effect."""
    recorded = np.isfinite(v)
    v = np.where(recorded, v - v[recorded].sum() / max(int(recorded.sum()), 1), 0.0)
    flat = later.reshape(-1, v.size) * v
    mine = own * v
    known = mine @ mine.T
    known += 1e-9 * (np.trace(known) + 1.0) * np.eye(len(known))
    tie = np.linalg.solve(known, mine @ flat.T)
    rest = flat - tie.T @ mine
    total, square = rest.sum(axis=1), (rest**2).sum(axis=1)
    z2 = total**2 / np.maximum(square, 1e-12)
    return np.asarray(z2.reshape(later.shape[:2]).max(axis=1))
