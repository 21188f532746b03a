"""How far errors are from what was promised, how surely that is known, and from where: the parts that the fit used.

Every quarter of the way, each characteristic's last reading is foretold from what was known a quarter, two, three or
four quarters before, in dithered parts. An error that the fit has seen is too small, one of a part left out is too
large: in a linear model their product is right on average, whatever the number of weights, because `r_in = (1 - H)
r_out` and `r_out` has the variance `(1 - H)^-1`. Parts are left out a fifth at a time, by one exact step of the
quadratic (Woodbury), not by fitting anew. So thousands of parts speak, where those held out of the fit would be
hundreds.

What they say is noisy, all looks are looks at one model, and most models are nearly right: the logarithms of the
factors are drawn together by a hierarchical prior whose scale is learnt from how much they differ. Its tail is heavy,
so that a model that is wrong is not drawn back to one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from process_opt.climb import slope_of_each
from process_opt.counted import look_between
from process_opt.smoother import Line, Records, smooth

if TYPE_CHECKING:
    from process_opt.drift import Drift
    from process_opt.estimate import Data, Estimate

Floats = NDArray[np.float64]

QUARTERS = 4
FOLDS = 5
MOST = 2500
"""Parts looked at: with so many the sample says less of the factor than the looks differ by."""
FEWEST, FEWEST_DITHERED = 30, 40
"""Parts below which a look says nothing; dithered parts that are enough to do without the others."""
WORST = 25.0
"""A squared standardised error counts for no more: one slip of a gauge must not widen every promise."""
SCALE, FREEDOM = 0.05, 3.0
"""Half-t prior (Gelman 2006) of the standard deviation that the logarithm of a factor has for each reason: what all
looks share, what looks at one reading share, a look's own. Fits are usually within a tenth of right."""
SCALES = np.geomspace(0.002, 1.0, 25)
FEWEST_BATCHES = 3
LEAN_ON = 0.9
"""Most of what is known of a weight that may go with a fifth of the parts: beyond it the quadratic says nothing."""


@dataclass(frozen=True)
class Factors:
    """By what the promised variance of each of `m` deciding readings is to be multiplied."""

    log: Floats
    """`m`: mean of the factor's logarithm."""
    sd: Floats
    """`m`: how surely it is known."""
    alike: float
    """Correlation of what is not known between two readings, in [0, 1]."""
    parts: int
    """Parts that spoke."""
    later: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """`T x m`: by how much more than `sd`, as a variance, it is unknown for a part before each step. The fewer steps
    are left, the more a promise rests on how well the chance of each is known, and errors of neighbours cancel less."""


def misfit(
    estimate: Estimate,
    deciding: list[int],
    data: Data,
    covariance: Floats,
    *,
    rows: NDArray[np.int64],
    drift: Drift | None = None,
    seed: int = 0,
) -> Factors:
    """The factors, from what the fit says of parts that it has seen.

    Args:
        deciding: places of the deciding readings.
        data: the whole history, in the order of time.
        covariance: of all weights, then of the logarithms of the steps' chances, as `climb` gives it.
        rows: those of `data` that were fitted. Dithered parts alone count, where there are enough: on the others people
            reacted to what came in between.
        drift: where the steps stood when; it is known of the parts to come, so it is no error.
    """
    dithered = rows[~data.people[rows]]
    rows = dithered if dithered.size >= FEWEST_DITHERED else rows
    if rows.size > MOST:
        rows = np.sort(np.random.default_rng([seed, 59]).choice(rows, MOST, replace=False))
    few, stood = data.rows(rows), None if drift is None else drift.at(rows, data.size)
    looks = _looks(estimate, deciding)
    errors, variance = _foretell(estimate, few, looks, stood)
    size = estimate.flat().size
    others = _left_out(estimate, covariance[:size, :size], few, looks, stood, errors)
    seen, error = _means(np.clip(errors * others / variance, -WORST, WORST))
    told, _ = _means(np.minimum(others**2 / variance, WORST))
    error = error + np.diag((told - seen) ** 2)  # a correction of first order may be as much off as it is large
    places = np.array([place for _, place in looks], dtype=np.int64)
    known = np.flatnonzero(np.isfinite(np.diag(error)))
    same = (places[known][:, None] == places[known][None, :]).astype(np.float64)
    ours = (np.array(deciding)[:, None] == places[known][None, :]).astype(np.float64)
    m = len(deciding)
    none = np.zeros((known.size, known.size)), np.zeros((m, known.size)), np.zeros((m, m))
    tie = 1.0 + same + np.eye(known.size), 1.0 + ours, 1.0 + 2.0 * np.eye(m)
    mean, cov = drawn_together(seen[known], error[np.ix_(known, known)], none, tie)
    usual = (np.array(deciding)[:, None] == places[None, :]).astype(np.float64)
    usual /= usual.sum(axis=1, keepdims=True)
    cov = cov + usual @ _of_batches(errors / np.sqrt(variance), few.batch) @ usual.T
    chances = covariance[size : size + estimate.layout.d * len(estimate.motions)][:, size:]
    slope = _of_chances(estimate, looks) @ usual.T
    chances = chances[:, : len(slope)]
    alike = np.diag(slope.T @ chances @ slope)
    cov = cov + slope.T @ chances @ slope
    later = np.maximum(before_each_step(estimate, deciding, chances) - alike, 0.0)
    return replace(factors(mean, cov, rows.size), later=later)


def drawn_together(
    seen: Floats, error: Floats, known: tuple[Floats, Floats, Floats], tie: tuple[Floats, Floats, Floats]
) -> tuple[Floats, Floats]:
    """Mean (`m`) and covariance of what is asked, given `R` noisy looks, all normal around nothing but for a scale `s`.

    Args:
        seen, error: `R` and the covariance of their errors.
        known, tie: the covariance before anything was seen is `known + s**2 tie`: of the looks (`R x R`), of what is
            asked with the looks (`m x R`), and of what is asked (`m x m`).
    """
    log, means, covs = [], [], []
    for s in SCALES:
        total, cross, asked = (a + s**2 * b for a, b in zip(known, tie, strict=True))
        total = total + error + 1e-12 * np.eye(seen.size)
        gain = np.linalg.solve(total, cross.T).T
        prior = -(FREEDOM + 1) / 2 * np.log1p((s / SCALE) ** 2 / FREEDOM) + np.log(s)  # the grid is geometric
        log.append(prior - 0.5 * (np.linalg.slogdet(total)[1] + seen @ np.linalg.solve(total, seen)))
        means.append(gain @ seen)
        covs.append(asked - gain @ cross.T)
    weight = np.exp(np.array(log) - max(log))
    weight /= weight.sum()
    mean = weight @ np.array(means)
    apart = np.array(means) - mean
    cov = np.einsum("s,sij->ij", weight, np.array(covs) + apart[:, :, None] * apart[:, None, :])
    return mean, cov


def factors(mean: Floats, cov: Floats, parts: int) -> Factors:
    """The factors as they are kept."""
    sd, m = np.sqrt(np.maximum(np.diag(cov), 1e-12)), mean.size
    alike = float(((cov / np.outer(sd, sd)).sum() - m) / (m * (m - 1))) if m > 1 else 1.0
    return Factors(mean, sd, min(max(alike, 0.0), 1.0), parts)


def _looks(estimate: Estimate, deciding: list[int]) -> list[tuple[int, int]]:
    """Pairs of the step from which on nothing is known, and the reading that is foretold then."""
    steps, names = len(estimate.process.steps), list(estimate.process.measurements)
    step_of = [estimate.process.measurements[name][0] for name in names]
    marks = sorted({steps * q // QUARTERS for q in range(QUARTERS + 1)})
    targets = set(deciding)
    for low, high in pairwise(marks[:-1]):  # in the last quarter only those that decide
        latest: dict[int, int] = {}
        for place in sorted(range(len(names)), key=lambda p: step_of[p]):
            if low <= step_of[place] < high:
                latest[int(estimate.layout.coordinate[place])] = place
        targets |= set(latest.values())
    return [(mark, place) for mark in marks[:-1] for place in sorted(targets) if step_of[place] >= mark]


def _foretell(
    estimate: Estimate, data: Data, looks: list[tuple[int, int]], stood: Floats | None
) -> tuple[Floats, Floats]:
    """`R x N` each: the error of each look, NaN where not read, and the variance promised for it.

    Args:
        stood: `T x d x N`, by how much the steps were off their average, where that is known.
    """
    layout = estimate.layout
    step_of = [k for k, _ in estimate.process.measurements.values()]
    error: Floats = np.full((len(looks), data.size), np.nan)
    variance: Floats = np.ones((len(looks), data.size))
    for mark in sorted({mark for mark, _ in looks}):
        y = data.y.copy()
        y[[place for place, k in enumerate(step_of) if k >= mark]] = np.nan
        path = smooth(
            Line(estimate.motions, layout.reads, layout.levers, estimate.gauge, estimate.start),
            Records(y, data.v, data.people, data.skipped, stood, layout.bounds(y)),
        )
        bounds = layout.bounds(data.y)
        for r, (begin, place) in enumerate(looks):
            if begin != mark:
                continue
            k, c, gauge = step_of[place], int(layout.coordinate[place]), float(estimate.gauge[place])
            use = np.isfinite(data.y[place])
            if place in bounds:
                m, p = path.mean[k].copy(), path.cov[k].copy()
                error[r], variance[r], _, _ = look_between(m, p, c, *bounds[place], gauge, use)
            else:
                error[r] = np.where(use, data.y[place] - path.mean[k][c], np.nan)
                variance[r] = path.cov[k][c, c] + gauge
    return error, variance


def _left_out(
    estimate: Estimate,
    covariance: Floats,
    data: Data,
    looks: list[tuple[int, int]],
    stood: Floats | None,
    errors: Floats,
) -> Floats:
    """The errors of each fifth of the parts under the weights that the other parts would have given."""
    scores, _ = slope_of_each(estimate, data)
    out = errors.copy()
    for first in range(FOLDS):
        rows = np.arange(first, data.size, FOLDS)
        own = scores[:, rows]
        share, ways = np.linalg.eigh(own.T @ covariance @ own)  # what is known of the weights by these parts alone
        kept = 1.0 - np.minimum(share, LEAN_ON)
        less = covariance @ (own @ (ways @ (ways.sum(axis=0) / kept)))
        then = None if stood is None else stood[:, :, rows]
        out[:, rows] = _foretell(estimate.with_weights(estimate.flat() - less), data.rows(rows), looks, then)[0]
    return out


def _means(squares: Floats) -> tuple[Floats, Floats]:
    """Logarithms of the means over the parts (`R`), and the covariance of their errors; infinite where few are."""
    known = np.isfinite(squares)
    count = known.sum(axis=1)
    n = np.maximum(count, 1)
    mean = np.where(known, squares, 0.0).sum(axis=1) / n
    safe = np.maximum(mean, 0.1)
    off = np.where(known, squares - mean[:, None], 0.0) / (safe * n)[:, None]
    each = off @ off.T
    shrunk = len(squares) / (len(squares) + max(squares.shape[1], 1))
    each = (1 - shrunk) * each + shrunk * np.diag(np.diag(each))
    few = count < FEWEST
    each[few, :] = each[:, few] = 0.0
    each[few, few] = np.inf
    return np.log(safe), each


def _of_batches(z: Floats, batch: NDArray[np.int64]) -> Floats:
    """`R x R`: covariance of the logarithms of the variances that comes from having seen so many batches, not all.

    The fit and its check have seen the same ones, so no check on them shows it. Normal batches: `2 F**2 / B`, with
    `F` what parts of a batch have in common, as a share of the variance (one-way random effects by moments).

    Args:
        z: `R x N`, errors in promised standard deviations.
    """
    names, place = np.unique(batch, return_inverse=True)
    if names.size < FEWEST_BATCHES or names[0] < 0 or names.size == batch.size:
        return np.zeros((len(z), len(z)))
    known = np.isfinite(z)
    z = np.where(known, z - (np.where(known, z, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1))[:, None], 0.0)
    own = np.zeros((names.size, len(z), 2))
    np.add.at(own[:, :, 0], place, z.T)
    np.add.at(own[:, :, 1], place, known.T)
    count = np.maximum(own[:, :, 1], 1.0)
    mean = own[:, :, 0] / count
    within = z - mean[place].T * known
    both = np.maximum(known.sum(axis=1), 1)
    typical = 1.0 / np.mean(1.0 / count, axis=0)
    chance = within @ within.T / np.sqrt(np.outer(both, both)) / np.sqrt(np.outer(typical, typical))
    share, ways = np.linalg.eigh(mean.T @ mean / names.size - chance)
    common = (ways * np.maximum(share, 0.0)) @ ways.T
    out: Floats = 2.0 * np.minimum(common, 1.0) ** 2 / names.size
    return out


def before_each_step(estimate: Estimate, deciding: list[int], chances: Floats) -> Floats:
    """`T x m`: variance of the logarithm of each deciding reading's variance that comes from what is not known of the
    chances of the steps, foretold before each step.

    Args:
        chances: covariance of the logarithms of the chances, `Td x Td`.
    """
    steps = len(estimate.motions)
    slope = _of_chances(estimate, [(k, place) for k in range(steps) for place in deciding])
    return np.asarray(np.einsum("ir,ir->r", slope, chances @ slope).reshape(steps, len(deciding)))


def _of_chances(estimate: Estimate, looks: list[tuple[int, int]]) -> Floats:
    """`Td x R`: how the logarithm of each look's variance goes with those of the steps' chances, one for each
    coordinate, by impulse responses at nominal settings: what the fit does not know of its chances, no check on the
    parts that it has fitted can show."""
    motions, layout = estimate.motions, estimate.layout
    maps = [m.map(np.zeros((len(m.unknown), 1)))[0][:, :, 0] for m in motions]
    step_of = [k for k, _ in estimate.process.measurements.values()]
    out = np.zeros((len(motions), layout.d, len(looks)))
    for r, (mark, place) in enumerate(looks):
        response = np.eye(layout.d)[layout.coordinate[place]]
        total = float(estimate.gauge[place])
        for k in range(step_of[place], mark - 1, -1):
            out[k, :, r] = response * (motions[k].noise @ response)
            total += float(out[k, :, r].sum())
            response = response @ maps[k]
        if mark == 0:
            total += float(response @ estimate.start[1] @ response)
        out[:, :, r] /= total
    return out.reshape(-1, len(looks))
