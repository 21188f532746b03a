"""What the parts of one batch have in common at a step: a shift, shrunk towards none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from process_opt.estimate import Data, Estimate, usable

Floats = NDArray[np.float64]

KEPT = 500
"""Batches remembered, the latest ones."""
FEWEST = 5
"""Batches that a step must have seen, to say how far they differ."""
SURE = 4.0
"""Standard deviations by which the spread between batches must exceed what chance within them makes."""


def batch_shifts(estimate: Estimate, data: Data, names: tuple[str, ...]) -> tuple[tuple[str, ...], Floats]:
    """Names of the latest batches and their shifts `B x T x d`, standardised; beyond what their machines do.

    One-way random effects by moments (Searle, Casella, McCulloch 1992, section 3.6) on each step's smoothed residuals;
    zero for steps and coordinates on which the batches do not differ. Smoothing has drawn the residuals towards zero
    already, so where little is read the shifts are smaller than the truth, never larger on average.

    Args:
        names: of all batches.
    """
    shifts = _shifts(estimate, data, len(names))
    latest = np.full(len(names), -1)
    known = np.flatnonzero(data.batch >= 0)
    latest[data.batch[known]] = known
    order = np.argsort(latest)[-KEPT:]
    order = order[(latest[order] >= 0) & np.array([names[b] != "" for b in order], dtype=bool)]
    if not shifts.any():
        order = order[:0]
    return tuple(names[b] for b in order), shifts[order]


def _shifts(estimate: Estimate, data: Data, many: int) -> Floats:
    """`many x T x d`."""
    steps, d = len(estimate.motions), estimate.layout.d
    total, square = np.zeros((many, steps, d)), np.zeros((steps, d))
    count = np.zeros((many, steps))
    for part in data.chunks():
        path = estimate.path(part)
        x0, named = path.start, part.batch >= 0
        here = part.batch[named]
        for k in range(steps):
            use = usable(estimate, part, k) * named
            r = estimate.left_over(part, k, x0, path.mean[k]) * use
            np.add.at(total[:, k], here, r[:, named].T)
            np.add.at(count[:, k], here, use[named])
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
    variance[(excess < SURE * np.sqrt(2.0 / free)) | (filled < FEWEST)] = 0.0
    return np.asarray(own * variance / np.maximum(variance + within / n, 1e-12) * (count > 0)[:, :, None])
