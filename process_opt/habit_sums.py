"""How people chose the settings: the first guess, the sums of an EM pass over the parts, and what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from process_opt.layout import Layout
from process_opt.state_space import Habit, Seen, wished

if TYPE_CHECKING:
    from process_opt.estimate import Data

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FEWEST_VALUES = 30
"""Of a setting, from which on something is learnt of how people chose it."""


def first_habits(layout: Layout, data: Data) -> dict[int, Habit]:
    """Of settings that people chose; but before anything is read, and with no dithered rows to compare with, whatever
    settings have in common would be taken for something that people saw."""
    habits: dict[int, Habit] = {}
    read = False
    for levers, reads in zip(layout.levers, layout.reads, strict=True):
        for place in levers:
            known = np.isfinite(data.v[place])
            values = data.v[place][data.people & known]
            told = read or int((~data.people & known).sum()) > FEWEST_VALUES
            if told and values.size > FEWEST_VALUES and values.std() > 1e-6:
                habits[place] = Habit(float(values.mean()), np.zeros(layout.d), np.zeros(layout.d), float(values.var()))
        read = read or bool(reads)
    return habits


def add_habit(
    sums: list,  # type: ignore[type-arg]
    habit: Habit,
    data: Data,
    place: int,
    x: Floats,
    p: Floats,
    seen: Seen,
    alive: Bools,
) -> None:
    """Add one setting's rows to the sums that `fitted_habit` takes: squares of what it answers to, its products with
    them, its own square, and how many.

    Args:
        x, p: `d x N` and `d x d x N`, the parts before the step, smoothed.
        alive: `N`, the part came to this step.
    """
    d = len(x)
    use = (data.people & alive & np.isfinite(data.v[place])).astype(float)
    said, response, slack = seen.answered(habit)
    middle, noise = said + (response * x).sum(axis=0), habit.noise + slack
    wish, open_ = wished(data.v[place], data.pressed[place], middle, noise, use > 0)
    # a reading that is not on record is the state and an error, of which the setting tells something
    told = seen.told()
    unsaid: Floats = np.where(told, 0.0, seen.ever[:, None])
    share = unsaid * (seen.error * habit.logged)[:, None] / noise
    y = np.where(told, seen.values, unsaid * x + share * (wish - middle))
    z = np.vstack([np.ones((1, x.shape[1])), x, y])
    sums[0] += (z * use) @ z.T
    along = np.einsum("ijn,jn->in", p, response)
    if unsaid.any():
        rows = np.concatenate(
            [np.broadcast_to(np.eye(d)[:, :, None], (d, d, x.shape[1])), _of_state(unsaid, share, response)]
        )
        pulled = np.einsum("ain,ijn->ajn", rows, p)
        sums[0][1:, 1:] += np.einsum("ajn,bjn,n->ab", pulled, rows, use, optimize=True)
        sums[0][d + 1 :, d + 1 :] += np.diag((unsaid * seen.error[:, None]) @ use) - (share * noise * use) @ share.T
        ties = np.einsum("ain,in->an", rows, along)
    else:
        sums[0][1 : d + 1, 1 : d + 1] += p @ use
        ties = along
    sums[1] += z @ (wish * use)
    sums[1][1 : 1 + len(ties)] += ties @ (open_ * use)  # what is wished goes with what the part is thought to be
    square = wish**2 + open_ * noise + open_**2 * (response * along).sum(axis=0)
    sums[2] += float((square * use).sum())
    sums[3] += float(use.sum())


def _of_state(unsaid: Floats, share: Floats, response: Floats) -> Floats:
    """`d x d x N`: how a reading that is not on record goes with the state, the setting being known."""
    own = np.eye(len(unsaid))[:, :, None] * unsaid[:, None]
    return np.asarray(own - share[:, None] * response[None, :])


def fitted_habit(old: Habit, sums: list, d: int) -> Habit:  # type: ignore[type-arg]
    """The response that the sums of `add_habit` speak for; the old one, where they come from too few parts."""
    left, right, square, n = sums
    if n < FEWEST_VALUES:
        return old
    prior = np.diag([1e-6] + [4.0] * (2 * d)) * max(old.noise, 1e-4)
    w = np.linalg.solve(left + prior, right)
    noise = max((square - 2 * w @ right + w @ left @ w) / n, 1e-4)
    return Habit(float(w[0]), w[1 : d + 1], w[d + 1 :], float(noise))
