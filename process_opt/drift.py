"""Tool wear and drift: how a step's offset moved over the rows of the history, and where it stands now.

Each step and coordinate that it reads has a level that walks at random from block to block of rows (a batch, or fifty
rows): `y_b = level_b + e_b`, `level_b = level_(b-1) + q_b`; what is seen of it are the means of the smoothed residuals,
undone of the share that smoothing takes away. How fast it walks, if it does, is averaged over what may be the case by
how likely the means make it (local level model: Durbin and Koopman 2012, chapter 2). Drift of a step that is not read
is laid to the next one that is, which comes to the same for everything after it.

What settings do may drift as well (a tool cuts less, a bath is used up): `follow_effects`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from process_opt.climb import score_sums
from process_opt.estimate import Data, Estimate, usable

Floats = NDArray[np.float64]

NO_ROWS = np.zeros(0, dtype=np.int64)
BLOCK = 50
"""Rows of a block where batches do not say: the mean of so many is known to a seventh of a part's spread."""
LATEST = 10_000
"""Rows looked at, the latest: what was before them says nothing of now that they do not say better."""
DRIFTS = 0.1
"""Share of steps that drift, before anything was seen."""
UNLIKELY = 1e-3
"""Cases less likely than this are left out of the average."""
ROUNDS = 4
"""Passes; each takes out what the levels of the last one explain, so that one step's drift is not laid to another."""
DAMPED = 0.7
"""Share of what is left that a pass takes up: neighbouring steps reach for the same drift and would overshoot."""
NEAR = 0.02
"""Passes end when no level moves by more than this share of its step's own spread."""
FEWEST = 8
"""Blocks below which drift and chance cannot be told apart."""
LONG_BLOCK, MOST_LONG = 150, 16
"""Rows of a block that tells what settings do, at least, and how many such blocks: an effect is known from thousands of
parts, and in a short block is hardly seen to differ."""
EFFECT_ROUNDS = 6
WALKS = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
LONG_WALKS = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
BETWEEN = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Variances tried: of a walk's step (from one long block to the next more may happen), and between blocks beyond chance
(batches), as shares of a block mean's own."""


@dataclass(frozen=True)
class Drift:
    """Where the steps stand at the end of a history, against their average over it."""

    level: Floats
    """`T x d`, standardised; 0 where nothing drifts."""
    variance: Floats
    """`T x d`: of that level."""
    sure: Floats
    """`T x d`: probability that it drifts at all."""
    levels: Floats
    """`B x T x d`: where they stood in each block of rows, likewise."""
    block: NDArray[np.int64]
    """The block of each of the latest rows."""

    def at(self, rows: NDArray[np.int64], size: int) -> Floats | None:
        """`T x d x n`: where the steps stood at these rows of `size`; 0 before the rows looked at, None if nothing
        drifts."""
        if not self.levels.any():
            return None
        place = rows - (size - self.block.size)
        out: Floats = np.where(place >= 0, self.levels[self.block[np.maximum(place, 0)]].transpose(1, 2, 0), 0.0)
        return out


def follow(estimate: Estimate, data: Data) -> Drift:
    """The steps' levels at the end of `data`, whose rows are in the order of time."""
    steps, d = len(estimate.motions), estimate.layout.d
    none = np.zeros((steps, d))
    still = Drift(none, none, none, none[None][:0], NO_ROWS)
    if data.size > LATEST:
        data = data.rows(np.arange(data.size - LATEST, data.size))
    block = _blocks(data)
    many = int(block[-1]) + 1
    if many < FEWEST:
        return still
    read = np.zeros((steps, d), dtype=bool)
    for k, reads in enumerate(estimate.layout.reads):
        read[k, [c for _, c in reads]] = True
    levels: Floats = np.zeros((many, steps, d))
    found = still
    chance = np.array([np.diag(m.noise) for m in estimate.motions])
    for _ in range(ROUNDS):
        mean, variance = _means(estimate, data, block, levels)
        before = levels
        levels, found = _walk(mean, variance, read)
        if (np.abs(levels - before) < NEAR * np.sqrt(chance)).all():
            break
    return replace(found, block=block)


@dataclass(frozen=True)
class EffectDrift:
    """How much more or less settings do at the end of a history than on average over it."""

    step: NDArray[np.int64]
    column: NDArray[np.int64]
    """`E`: of each effect, its step and its column of the step's weights; of the settings that act by themselves."""
    level: Floats
    """`E x d`, standardised."""
    variance: Floats
    """`E x d`: of that level."""
    sure: Floats
    """`E x d`: probability that it drifts at all."""


def follow_effects(estimate: Estimate, covariance: Floats, data: Data, identified: NDArray[np.bool_]) -> EffectDrift:
    """What settings do at the end of `data`, whose rows are in the order of time.

    In each of a few long blocks the effects are those of the fit and some scoring steps from it (Rao 1948), all
    parameters jointly, so that an offset which drifts is not taken for an effect; then as the offsets: a level that
    walks, averaged over walking and standing still. More than one step, as the scores of an effect that is off scatter
    more than those of one that is right, and their covariance then takes each step for about half of the way.

    Args:
        covariance: of all parameters, as `climb` gives it, from about these rows.
        identified: `S`; effects of other settings stay what they are.
    """
    d = estimate.layout.d
    at, step, column, rows = 0, [], [], []
    for k, motion in enumerate(estimate.motions):
        f = motion.weights.shape[1]
        acting = motion.acting(estimate.layout.levers[k])
        for place, (levers, c) in enumerate(motion.terms):
            if c == -1 and len(levers) == 1 and identified[acting[levers[0]]] and motion.law is None:
                step.append(k)
                column.append(place)
                rows.append(at + place + f * np.arange(d))
        at += motion.weights.size
    none = np.zeros((len(step), d))
    found = EffectDrift(np.array(step, dtype=np.int64), np.array(column, dtype=np.int64), none, none, none)
    many = min(MOST_LONG, data.size // LONG_BLOCK)
    if many < FEWEST or not step:
        return found
    mine = np.concatenate(rows)
    shares = np.array_split(np.arange(data.size), many)
    more = data.size / np.array([share.size for share in shares])
    variance = (more[:, None] * np.diag(covariance)[mine]).reshape(many, *none.shape)
    levels: Floats = np.zeros(variance.shape)
    everywhere = np.ones(none.shape, dtype=bool)
    for _ in range(EFFECT_ROUNDS):
        scores = []
        for share, level in zip(shares, levels, strict=True):
            weights = estimate.flat()
            weights[mine] += level.ravel()
            scores.append(score_sums(estimate.with_weights(weights), data.rows(share)))
        off = more[:, None] * (np.array(scores) @ covariance[:, mine])
        off -= off.mean(axis=0)  # the fit stands at the average, but for its prior
        before = levels
        levels, walked = _walk(levels + off.reshape(levels.shape), variance, everywhere, LONG_WALKS)
        if (np.abs(levels - before) < NEAR * np.sqrt(variance)).all():
            break
    return replace(found, level=walked.level, variance=walked.variance, sure=walked.sure)


def _blocks(data: Data) -> NDArray[np.int64]:
    """`N`: which block each row is of, from 0."""
    new = np.flatnonzero(np.diff(data.batch) != 0)
    runs = new.size + 1
    if (data.batch >= 0).all() and runs >= FEWEST and BLOCK / 5 <= data.size / runs <= 10 * BLOCK:
        out: NDArray[np.int64] = np.zeros(data.size, dtype=np.int64)
        out[new + 1] = 1
        return out.cumsum()
    return np.arange(data.size, dtype=np.int64) // BLOCK


def _means(estimate: Estimate, data: Data, block: NDArray[np.int64], levels: Floats) -> tuple[Floats, Floats]:
    """Each block's level as its parts show it, and its variance by chance alone, both `B x T x d`."""
    many, steps, d = levels.shape
    total, count = np.zeros(levels.shape), np.zeros((many, steps))
    square, first = np.zeros((steps, d)), 0
    for part in data.chunks():
        mine = block[first : first + part.size]
        first += part.size
        path = estimate.path(part, levels[mine].transpose(1, 2, 0))
        x0 = path.start
        for k in range(steps):
            use = usable(estimate, part, k)
            r = (estimate.left_over(part, k, x0, path.mean[k]) - levels[mine, k].T) * use
            np.add.at(total[:, k], mine, r.T)
            np.add.at(count[:, k], mine, use)
            square[k] += (r * r).sum(axis=1)
            x0 = path.mean[k]
    chance = np.array([np.diag(m.noise) for m in estimate.motions])
    shown = square / np.maximum(count.sum(axis=0), 1.0)[:, None] / chance  # what smoothing leaves of a residual
    shown = np.clip(shown, 0.02, 1.0)
    n = np.maximum(count, 1e-6)[:, :, None]
    return levels + DAMPED * total / n / shown, chance / shown / n


def _walk(
    mean: Floats, variance: Floats, read: NDArray[np.bool_], walks: tuple[float, ...] = WALKS
) -> tuple[Floats, Drift]:
    """Levels of every block (`B x T x d`, looking back and forward) and at the end, averaged over what may be the case
    by how likely it is; none but where `read` (`T x d`)."""
    own = np.median(variance, axis=0)
    cases = [(walk, between) for walk in walks for between in BETWEEN]
    drifts = np.log(np.array([1 - DRIFTS if not walk else DRIFTS / (len(walks) - 1) for walk, _ in cases]))
    weight = np.array([_filter(mean, variance + b * own, w * own)[3] for w, b in cases]) + drifts[:, None, None]
    weight = np.exp(weight - weight.max(axis=0))
    weight /= weight.sum(axis=0)
    levels, spread, square = np.zeros_like(mean), np.zeros(own.shape), np.zeros(own.shape)
    for (walk, between), mine in zip(cases, weight, strict=True):
        if not walk or not (mine > UNLIKELY).any():
            continue
        middle, left, ahead, _ = _filter(mean, variance + between * own, walk * own)
        back = middle.copy()
        for b in range(len(back) - 2, -1, -1):  # Rauch, Tung, Striebel
            back[b] = middle[b] + left[b] / ahead[b + 1] * (back[b + 1] - middle[b])
        back -= back.mean(axis=0)
        levels += mine * back
        spread += mine * left[-1]
        square += mine * back[-1] ** 2
    sure = weight[[i for i, (walk, _) in enumerate(cases) if walk]].sum(axis=0)
    levels = np.where(read, levels, 0.0)
    variance_now = np.where(read, spread + np.maximum(square - levels[-1] ** 2, 0.0), 0.0)
    return levels, Drift(levels[-1], variance_now, np.where(read, sure, 0.0), levels, NO_ROWS)


def _filter(mean: Floats, noise: Floats, walk: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Filtered mean and variance, variance foretold (`B x T x d` each), and log likelihood (`T x d`)."""
    m, p = mean[0].copy(), noise[0].copy()
    middle, spread, ahead = np.empty_like(mean), np.empty_like(mean), np.empty_like(mean)
    middle[0], spread[0], ahead[0] = m, p, p
    likelihood: Floats = np.zeros(m.shape)
    for b in range(1, len(mean)):
        foretold = p + walk
        s = foretold + noise[b]
        r = mean[b] - m
        likelihood -= 0.5 * (r * r / s + np.log(s))
        m = m + foretold / s * r
        p = foretold * noise[b] / s
        middle[b], spread[b], ahead[b] = m, p, foretold
    return middle, spread, ahead, likelihood
