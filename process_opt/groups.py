"""What parts of one group (a batch, a machine) have in common at a step: a shift, shrunk towards none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from process_opt.estimate import Data, Estimate, settings_at, usable

Floats = NDArray[np.float64]
Groups = Callable[[Data, int], NDArray[np.int64]]
"""The group of each part of some data (`N`) at a step; -1: none."""

SURE = 4.0
"""Standard deviations by which the spread between groups must exceed what chance within them makes."""


def group_shifts(
    estimate: Estimate,
    data: Data,
    group: Groups,
    many: int,
    *,
    fewest: int,
    known: Callable[[Data, int], Floats] | None = None,
) -> tuple[Floats, Floats]:
    """Shifts `G x T x d` of `many` groups, standardised, and by how much each makes a part surer.

    The second, as large, is the variance that the groups' shifts make among parts, less that of what is not known of
    this one's: it is no chance any more once the group is known. Nothing for a group that was never seen.

    One-way random effects by moments (Searle, Casella, McCulloch 1992, section 3.6) on each step's smoothed residuals;
    zero for steps and coordinates on which the groups do not differ. Smoothing has drawn the residuals towards zero
    already, so where little is read the shifts are smaller than the truth, never larger on average.

    Args:
        fewest: groups that a step must have seen, to say anything of them.
        known: `d x N`, what else is known to move these parts at a step, taken off before.
    """
    steps, d = len(estimate.motions), estimate.layout.d
    total, square = np.zeros((many, steps, d)), np.zeros((steps, d))
    count = np.zeros((many, steps))
    for part in data.chunks():
        path = estimate.path(part)
        x0 = path.start
        for k, motion in enumerate(estimate.motions):
            here = group(part, k)
            use = usable(estimate, part, k) * (here >= 0)
            r = path.mean[k] - motion.move(settings_at(estimate, part, k), x0)
            if known is not None:
                r = r - known(part, k)
            r = r * use
            named = here >= 0
            np.add.at(total[:, k], here[named], r[:, named].T)
            np.add.at(count[:, k], here[named], use[named])
            square[k] += (r * r).sum(axis=1)
            x0 = path.mean[k]
    n = np.maximum(count, 1.0)[:, :, None]
    own = total / n
    filled = (count > 0).sum(axis=0)[:, None]
    parts = count.sum(axis=0)[:, None]
    between = (total * own).sum(axis=0)
    within = np.maximum(square - between, 0.0) / np.maximum(parts - filled, 1.0)
    typical = np.maximum((parts - (count**2).sum(axis=0)[:, None] / np.maximum(parts, 1.0)), 1.0)
    variance = np.maximum(between - filled * within, 0.0) / typical
    free = np.maximum(filled, 1.0)
    excess = between / free / np.maximum(within, 1e-12) - 1.0
    variance[(excess < SURE * np.sqrt(2.0 / free)) | (filled < fewest)] = 0.0
    kept = variance / np.maximum(variance + within / n, 1e-12) * (count > 0)[:, :, None]
    shifts = own * kept
    made = (shifts**2 * count[:, :, None]).sum(axis=0) / np.maximum(parts, 1.0)
    return shifts, np.maximum(made - variance * (1.0 - kept), 0.0)
