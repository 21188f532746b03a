"""What people saw beyond what they logged, climbed to together with what the settings do.

Where people chose a setting, `v = a + L x + M y + e`: what they saw of the state, and the last readings `y`. A setting
that goes with the outcome may do something to the part, or may have been chosen because of what the part already was;
only dithered rows tell. So the responses `L` belong to the same hill as the effects: taken one after the other, effects
stop far from the top, and taken as known, they seem several times surer than they are.

The parameters here are the moves of `L` with `L + M` held, because that sum is what the rows themselves show: a move
turns what was thought an answer to the reading into an answer to the part's true state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from process_opt.estimate import Data, Estimate
from process_opt.state_space import Habit, Seen, wished

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PRIOR = 4.0
"""Precision of every response around none, as EM has it."""


@dataclass(frozen=True)
class Habits:
    """The responses of a process, one after the other: `d` for each setting that people chose."""

    places: tuple[tuple[int, int], ...]
    """Step and setting, in order."""
    seen: Bools
    """`H`: is this coordinate read before the step?"""

    @property
    def size(self) -> int:
        """`H`, how many parameters."""
        return self.seen.size


def habits_of(estimate: Estimate) -> Habits:
    """The responses that `estimate` holds."""
    layout = estimate.layout
    ever = np.zeros(layout.d, dtype=bool)
    places, seen = [], []
    for k, levers in enumerate(layout.levers):
        for place in levers:
            if place in estimate.habits:
                places.append((k, place))
                seen.append(ever.copy())
        for _, c in layout.reads[k]:
            ever[c] = True
    return Habits(tuple(places), np.concatenate(seen) if seen else np.zeros(0, dtype=bool))


def moved(estimate: Estimate, habits: Habits, move: Floats) -> Estimate:
    """The same with responses to the true state moved by `H` numbers, and those to the readings against them."""
    d = estimate.layout.d
    out = dict(estimate.habits)
    for i, (_, place) in enumerate(habits.places):
        own, seen = move[i * d : (i + 1) * d], habits.seen[i * d : (i + 1) * d]
        old = out[place]
        out[place] = replace(old, seen=old.seen + own, logged=old.logged - np.where(seen, own, 0.0))
    return replace(estimate, habits=out)


def prior(estimate: Estimate, habits: Habits) -> tuple[float, Floats, Floats]:
    """The log prior of all responses, its slope for the moves, and its precision (`H` each)."""
    if not habits.places:
        return 0.0, np.zeros(0), np.zeros(0)
    seen = np.concatenate([estimate.habits[place].seen for _, place in habits.places])
    logged = np.concatenate([estimate.habits[place].logged for _, place in habits.places])
    height = -PRIOR / 2 * float((seen**2).sum() + (logged**2).sum())
    slope: Floats = -PRIOR * (seen - np.where(habits.seen, logged, 0.0))
    return height, slope, np.asarray(PRIOR * (1.0 + habits.seen))


def scores(
    habits: Mapping[int, Habit], levers: tuple[int, ...], data: Data, x: Floats, p: Floats, seen: Seen
) -> tuple[list[Floats], list[Floats]]:
    """For each setting of a step that people chose: every part's score of the moves, and complete data's information.

    Args:
        x, p: `d x N` and `d x d x N`, the parts before the step, smoothed.
        seen: what was last read before the step.

    Returns:
        `d x N` each, and `d x d` each.
    """
    out, complete = [], []
    told = seen.told()
    free = told | ~seen.ever[:, None]  # what is not on record was answered to as it was: there a move changes nothing
    apart = np.where(told, x - seen.values, np.where(seen.ever[:, None], 0.0, x))
    for place in levers:
        if (habit := habits.get(place)) is None:
            continue
        use = data.people & np.isfinite(data.v[place])
        said, response, slack = seen.answered(habit)
        middle = said + (response * x).sum(axis=0)
        wish, open_ = wished(data.v[place], data.pressed[place], middle, habit.noise + slack, use)
        weight = np.where(use, 1.0, 0.0) / (habit.noise + slack)
        tie = np.einsum("ijn,jn->in", p, response) * free * (1.0 - open_)
        out.append(((wish - middle) * apart - tie) * weight)
        spread = p @ weight if free.all() else np.einsum("ijn,in,jn->ij", p, free * weight, free, optimize=True)
        complete.append((apart * weight) @ apart.T + spread)
    return out, complete
