"""What the parts of one batch have in common at a step: a shift, shrunk towards none; outcomes move it on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from process_opt.estimate import Data, Estimate

Floats = NDArray[np.float64]

KEPT = 500
"""Batches remembered, the latest ones."""
FEWEST = 5
"""Batches that a step must have seen, to say how far they differ."""
SURE = 4.0
"""Standard deviations by which the spread between batches must exceed what chance within them makes."""
ASKED = 2000
"""Parts by which it is worked out how much one part tells of its batch."""


@dataclass(frozen=True)
class Batches:
    """What parts of the same batch have in common, and what further parts of a batch will be weighed against."""

    names: tuple[str, ...] = ()
    shifts: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))
    """`B x T x d`, standardised; beyond what the machines do."""
    parts: Floats = field(default_factory=lambda: np.zeros(0))
    """`B`: how many parts have told of each batch."""
    spread: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """`T x d`: variance of a batch's shift over the batches; 0 where they do not differ. Empty where nowhere."""
    told: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """`q x q`: precision with which one part tells the shifts of its batch that differ, all together."""

    @property
    def differ(self) -> NDArray[np.int64]:
        """`q`: where batches differ, by place in a flat `T x d`."""
        return np.flatnonzero(self.spread.ravel() > 0)

    def against(self, level: Floats) -> Batches:
        """The same, where the steps are now known to stand `level` (`T x d`) from their average."""
        if not self.shifts.size:
            return self
        return replace(self, shifts=np.where(self.shifts.any(axis=0), self.shifts - level, 0.0))

    def after(self, name: str, pull: Floats, parts: int) -> Batches:
        """The same after some more parts of a batch, which may be new: one scoring step from what is known of it.

        Its shift is normal around nothing with `spread`; what its parts told before is a multiple of `told` (conjugate
        normal random effects, as in Searle, Casella, McCulloch 1992, section 7.4).

        Args:
            pull: `q`, the sum of the parts' scores of the shift, where it stands.
        """
        places, names = self.differ, list(self.names)
        shifts, count = self.shifts, self.parts
        if name in names:
            b = names.index(name)
            order = [*(i for i in range(len(names)) if i != b), b]  # the latest comes last
            names, shifts, count = [names[i] for i in order], shifts[order], count[order]
        else:
            names = [*names, name][-KEPT:]
            shifts = np.concatenate([shifts, np.zeros((1, *self.spread.shape))])[-KEPT:]
            count = np.append(count, 0.0)[-KEPT:]
        shifts, count = shifts.copy(), count.copy()
        count[-1] += parts
        precision = np.diag(1.0 / self.spread.ravel()[places]) + count[-1] * self.told
        shifts[-1].ravel()[places] += np.linalg.solve(precision, pull)
        return replace(self, names=tuple(names), shifts=shifts, parts=count)


def batch_shifts(estimate: Estimate, data: Data, names: tuple[str, ...]) -> Batches:
    """The latest batches and their shifts, and how far batches differ at all.

    One-way random effects by moments (Searle, Casella, McCulloch 1992, section 3.6) on each step's smoothed residuals;
    zero for steps and coordinates on which the batches do not differ. Smoothing has drawn the residuals towards zero
    already, so where little is read the shifts are smaller than the truth, never larger on average.

    Args:
        names: of all batches.
    """
    from process_opt.climb import slope_of_each  # which needs the fit; who only advises does not

    shifts, spread = _shifts(estimate, data, len(names))
    if not spread.any():
        return Batches()
    latest = np.full(len(names), -1)
    known = np.flatnonzero(data.batch >= 0)
    latest[data.batch[known]] = known
    order = np.argsort(latest)[-KEPT:]
    order = order[(latest[order] >= 0) & np.array([names[b] != "" for b in order], dtype=bool)]
    parts = np.bincount(data.batch[known], minlength=len(names)).astype(np.float64)
    few = data.rows(np.arange(data.size)[:: -(-data.size // ASKED)])
    found = Batches(tuple(names[b] for b in order), shifts[order], parts[order], spread)
    pulls = pulls_of(estimate, slope_of_each(estimate, few)[0])[found.differ]
    return replace(found, told=pulls @ pulls.T / few.size)


def pulls_of(estimate: Estimate, scores: Floats) -> Floats:
    """`T d x N`: each part's score of a shift at each step, among those of all weights (`P x N`): a shift does what the
    step's offset does."""
    rows, first = [], 0
    for motion in estimate.motions:
        d, f = motion.weights.shape
        rows.append(first + f * np.arange(d))
        first += d * f
    return np.asarray(scores[np.concatenate(rows)])


def _shifts(estimate: Estimate, data: Data, many: int) -> tuple[Floats, Floats]:
    """`many x T x d`, and the variance between batches, `T x d`."""
    from process_opt.estimate import usable

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
    shifts: Floats = own * variance / np.maximum(variance + within / n, 1e-12) * (count > 0)[:, :, None]
    return shifts, variance
