"""From where EM crawls to the top of the likelihood, and how sure the weights are there.

EM needs hundreds of passes wherever a state is not read for some steps: it has to move the effect of a setting and
everything that carries it to the next reading together. Scoring steps with the joint information of all weights do
that. The information is the sum of outer products of each part's score (Berndt, Hall, Hall, Hausman 1974): what unseen
states hide is taken off, and the tie between one step's error and the next is kept. With a few parts for each weight
that sum is far too small in some directions; a little of the information that complete data would have (never smaller
than the true one) is mixed in, as much as it takes for the likelihood to rise as the parabola says (Levenberg,
Marquardt).

The size of every step's chance is climbed to in the same way: `x' - A x - b ~ N(0, D Q D)`, `D = diag(exp(s / 2))`, an
`s` for each coordinate, 0 at the estimate. EM is slowest just there where the gauge's error is larger than the chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotri, dtrtri

from process_opt import habits as people
from process_opt.em import em
from process_opt.estimate import Data, Estimate, features, settings_at, usable
from process_opt.hands import HERE, Hands
from process_opt.state_space import Motion, Seen

Floats = NDArray[np.float64]

DAMPING = 0.03
"""First share of the information of complete data; with it the parabola held on every line tried."""
LEAST, MOST = 0.01, 1.0
TRACE = 0.002
"""Share of it in the posterior: enough to hold the matrix together, too little to feign knowledge."""
LONGEST = 1.0
"""Most that the logarithm of a variance moves in one round."""
BLOCK = 256
"""Rows of a large matrix that are copied at once."""
UNSURE = 0.7
"""Prior standard deviation of the logarithm of a variance around the estimate: between two readings only the sum of the
steps' chances is known, not which step's it is."""
NEAR = 0.02
"""Squared distance from the top, in posterior standard deviations, for each weight, at which climbing ends: a seventh
of a standard deviation off is nothing beside the uncertainty that every prediction carries."""


@dataclass(frozen=True)
class Hill:
    """The penalised log likelihood around an estimate: `P` parameters, first all weights, then each step's `s`, then
    what people responded to (`habits.py`)."""

    height: float
    """In nats."""
    slope: Floats
    """`P`"""
    outer: Floats
    """`P x P`, sum of outer products of the scores."""
    complete: tuple[Floats, ...]
    """Blocks of the information that complete data would have, in the order of the parameters."""
    penalty: Floats
    """`P`: prior precision."""
    parts: int
    weights: int
    """How many of the parameters are weights."""
    chances: int
    """How many are sizes of chance."""

    def information(self, damping: float, scale: float = 1.0) -> Floats:
        """`P x P`: `scale` times the outer products, with a share of complete data's information, and the prior's."""
        out = self.outer * ((1 - damping) * scale)
        at = 0
        for block in self.complete:
            n = len(block)
            out[at : at + n, at : at + n] += damping * block
            at += n
        out[np.diag_indices(len(out))] += self.penalty
        return out

    def covariance(self) -> Floats:
        """`P x P`: of the weights, posterior.

        The sum of outer products of `N` scores is a Wishart matrix: its inverse is too large by `1 / (1 - P / N)`, `P`
        counting the weights that the data and not the prior decide (Ledoit and Péché 2011, for large `P` and `N`).
        """
        own, _ = of_inverse(self.information(TRACE), self.slope)
        told = own.size - float((own * self.penalty).sum())
        scale = 1.0 / max(1.0 - told / max(self.parts, 1), 0.2)
        return inverse(self.information(TRACE, scale))


def inverse(matrix: Floats) -> Floats:
    """Of a symmetric, positive definite one: half the work of a general one, and symmetric to the last bit."""
    root, lower = cho_factor(matrix if matrix.flags.f_contiguous else matrix.T, lower=True)
    out, _ = dpotri(root, lower=lower, overwrite_c=1)
    for first in range(0, len(out), BLOCK):  # its other half, block by block: both stay in the processor's cache
        last = first + BLOCK
        middle = out[first:last, first:last]
        low = np.tril_indices(len(middle), -1)
        middle.T[low] = middle[low]
        out[first:last, last:] = out[last:, first:last].T
    return np.asarray(out)


def of_inverse(matrix: Floats, onto: Floats) -> tuple[Floats, Floats]:
    """The diagonal of the inverse of a symmetric, positive definite matrix, and that inverse times `onto`: two thirds
    of the work of the whole inverse."""
    factor = cho_factor(matrix if matrix.flags.f_contiguous else matrix.T, lower=True)
    solved = cho_solve(factor, onto)
    below, _ = dtrtri(factor[0], lower=1, overwrite_c=1)
    own: Floats = np.zeros(len(below))
    for first in range(0, len(own), BLOCK):
        columns = np.tril(below[first:, first : first + BLOCK])
        own[first : first + BLOCK] = np.einsum("ij,ij->j", columns, columns)
    return own, np.asarray(solved)


def climb(
    estimate: Estimate,
    data: Data,
    *,
    rounds: int,
    hands: Hands = HERE,
    progress: Callable[[float], None] | None = None,
) -> tuple[Estimate, Floats]:
    """At most `rounds` of a damped scoring step (weights, chances, responses) and an EM pass (gauges and the rest).

    A step that lowers the likelihood is taken back and tried again with more damping.

    Returns:
        The estimate, and the covariance of its parameters as in `Hill`, `P x P`.
    """
    damping = DAMPING
    before: tuple[Estimate, Hill, float] | None = None
    here = hill(estimate, data, hands)
    for i in range(rounds):
        if before is not None:
            gained, foretold = here.height - before[1].height, before[2]
            if gained < 0:
                estimate, here = before[0], before[1]
                damping = min(damping * 4, MOST)
            elif gained > 0.7 * foretold:
                damping = max(damping / 3, LEAST)
        step = cho_solve(cho_factor(here.information(damping), overwrite_a=True), here.slope)
        rise = float(here.slope @ step) / 2
        before = (estimate, here, rise)
        weights, chances, responses = np.split(step, [here.weights, here.weights + here.chances])
        moved = estimate.with_weights(estimate.flat() + weights).with_chance(np.clip(chances, -LONGEST, LONGEST))
        estimate = em(people.moved(moved, people.habits_of(moved), responses), data, passes=1, hands=hands)
        here = hill(estimate, data, hands)
        if progress is not None:
            progress((i + 1) / rounds)
        if here.height >= before[1].height and 2 * rise < NEAR * len(step):
            break
    if before is not None and here.height < before[1].height:
        estimate, here = before[0], before[1]
    return estimate, here.covariance()


def hill(estimate: Estimate, data: Data, hands: Hands = HERE) -> Hill:
    """The likelihood around an estimate."""
    weights = estimate.flat().size
    habits = people.habits_of(estimate)
    shares = hands.each(slope_sums, estimate, data)
    sums = next(shares)
    for one in shares:
        sums.add(one)
    complete, chances = sums.complete, sums.complete.chances.size
    outer = sums.outer + np.triu(sums.outer, 1).T
    off = estimate.flat() - np.concatenate([estimate.prior_mean(k).ravel() for k in range(len(estimate.motions))])
    chance_height, chance_slope = estimate.chance_prior()
    habit_height, habit_slope, habit_prior = people.prior(estimate, habits)
    penalty = np.concatenate([*(p.ravel() for p in estimate.penalty), np.full(chances, 1 / UNSURE**2), habit_prior])
    slope = sums.slope + np.concatenate([-penalty[:weights] * off, chance_slope, habit_slope])
    blocks = [np.kron(np.linalg.inv(m.noise), s) for m, s in zip(estimate.motions, complete.squares, strict=True)]
    return Hill(
        height=sums.height + chance_height + habit_height - 0.5 * float((penalty[:weights] * off * off).sum()),
        slope=slope,
        outer=outer,
        complete=(*blocks, np.diag(complete.chances), *complete.responses),
        penalty=penalty,
        parts=data.size,
        weights=weights,
        chances=chances,
    )


@dataclass
class SlopeSums:
    """What the likelihood around an estimate sums over the parts."""

    height: float
    slope: Floats
    outer: Floats
    """Its upper half."""
    complete: _Complete

    def add(self, other: SlopeSums) -> None:
        """Those of further parts."""
        self.height += other.height
        self.slope += other.slope
        self.outer += other.outer
        self.complete.add(other.complete)


def slope_sums(estimate: Estimate, data: Data) -> SlopeSums:
    """The sums over some parts."""
    d, habits = estimate.layout.d, people.habits_of(estimate)
    chances = d * len(estimate.motions)
    size = estimate.flat().size + chances + habits.size
    outer: Floats = np.zeros((size, size), order="F")
    slope: Floats = np.zeros(size)
    complete = _Complete(
        [np.zeros((len(m.terms), len(m.terms))) for m in estimate.motions],
        np.zeros(chances),
        [np.zeros((d, d)) for _ in habits.places],
    )
    height = 0.0
    for part in data.chunks():
        scores, likelihood = _scores(estimate, part, complete)
        outer = dsyrk(1.0, scores.T, trans=1, beta=1.0, c=outer, overwrite_c=1)
        slope += scores.sum(axis=1)
        height += likelihood
    return SlopeSums(height, slope, outer, complete)


@dataclass
class _Complete:
    """What complete data would tell, summed over the parts."""

    squares: list[Floats]
    """`F x F` for each step: the expected squares of the features."""
    chances: Floats
    """Of every `s`."""
    responses: list[Floats]
    """`d x d` for each setting that people chose."""

    def add(self, other: _Complete) -> None:
        """That of further parts."""
        self.chances += other.chances
        for mine, theirs in zip((*self.squares, *self.responses), (*other.squares, *other.responses), strict=True):
            mine += theirs


def score_sums(estimate: Estimate, data: Data) -> Floats:
    """`P`: the sum of the parts' scores of all parameters, in the order of `Hill`."""
    out = 0.0
    for part in data.chunks():
        out = out + _scores(estimate, part, None)[0].sum(axis=1)
    return np.asarray(out)


def slope_of_each(estimate: Estimate, data: Data) -> tuple[Floats, Floats]:
    """Each part's score of the weights (`P x N`), and its mean squared standardised error of a reading (`N`)."""
    weights = estimate.flat().size
    scores, sizes = [], []
    for part in data.chunks():
        scores.append(_scores(estimate, part, None)[0][:weights])
        misfit = estimate.path(part).misfit
        z2 = np.array([innovation**2 / variance for _, innovation, variance in misfit])
        known = np.isfinite(z2)
        sizes.append(np.where(known, z2, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    return np.hstack(scores), np.concatenate(sizes)


def _scores(estimate: Estimate, data: Data, complete: _Complete | None) -> tuple[Floats, float]:
    """`P x N`: derivative of each part's log likelihood with respect to the parameters (Fisher's identity), and the sum
    of the log likelihoods.

    Args:
        complete: what complete data would tell is added to it.
    """
    path = estimate.path(data)
    d = estimate.layout.d
    x0, p0 = path.start, path.start_cov
    out, sizes, responses, told = [], [], [], []
    seen = Seen.nothing(d, data.size)
    for k, motion in enumerate(estimate.motions):
        of_people, information = people.scores(estimate.habits, estimate.layout.levers[k], data, x0, p0, seen)
        responses += of_people
        told += information
        use = usable(estimate, data, k)
        x1 = path.mean[k]
        v = settings_at(estimate, data, k)
        phi, by_state = features(motion, v, x0)
        precision = np.linalg.inv(motion.noise)
        r = estimate.left_over(data, k, x0, x1) * use
        a = carried(motion, v, x0)
        tie = tie_before(path.cross[k], p0, a) * use
        s = np.einsum("in,fn->ifn", r, phi)
        for f, (_, c) in enumerate(motion.terms):
            if c >= 0:
                s[:, f] += tie[:, c] * by_state[f, c]
            elif c <= -2:
                s[:, f] += np.einsum("ijn,jn->in", tie, by_state[f])
        s = np.tensordot(precision, s, axes=1)
        s[motion.pinned] = 0.0
        out.append(s.reshape(-1, s.shape[2]))
        spread = path.cov[k] - _times(path.cross[k], a).transpose(1, 0, 2) - _times(tie, a)  # of the residual itself
        both = r * (precision @ r) + np.einsum("ij,jin->in", precision, spread)
        sizes.append(0.5 * (both - 1.0) * use)
        if complete is not None:
            known = 0.25 * (1.0 + np.diag(motion.noise) * np.diag(precision)) * use.sum()
            complete.chances[k * d : (k + 1) * d] += known
            complete.squares[k] += _squares(motion, phi, by_state, p0, use)
        for place, c in estimate.layout.reads[k]:
            seen.read(c, data.y[place], float(estimate.gauge[place]), data.skipped[k], estimate.unlogged)
        x0, p0 = x1, path.cov[k]
    if complete is not None:
        for total, own in zip(complete.responses, told, strict=True):
            total += own
    return np.concatenate([*out, *sizes, *responses]), path.log_likelihood


def _squares(motion: Motion, phi: Floats, by_state: Floats, p: Floats, use: Floats) -> Floats:
    """`F x F`: expected squares of a step's features where the state before it is known to `p` (`d x d x N`)."""
    out: Floats = (phi * use) @ phi.T
    state = [f for f, (_, c) in enumerate(motion.terms) if c >= 0]
    cs = [motion.terms[f][1] for f in state]
    if motion.columns:
        out += np.einsum("fin,ijn,gjn->fg", by_state * use, p, by_state, optimize=True)
    elif motion.joint:
        gs = by_state[state, cs]
        out[np.ix_(state, state)] += np.einsum("fn,gn,fgn->fg", gs * use, gs, p[np.ix_(cs, cs)], optimize=True)
    else:
        out[np.ix_(state, state)] += (p @ use)[np.ix_(cs, cs)]
    return out


def carried(motion: Motion, v: Floats, x: Floats) -> Floats:
    """What a step carries on, `d x d x N`, or `d x d x 1` where that is the same for all parts."""
    a, _ = motion.map(v, at=x)
    return a if motion.joint else a[:, :, :1]


def tie_before(cross: Floats, p: Floats, a: Floats) -> Floats:
    """`d x d x N`: covariance of what a step left over with the state before it.

    Args:
        cross: of the state after the step with the one before it; `p`: of the latter.
        a: as from `carried`.
    """
    return np.asarray(cross - _times(p, a).transpose(1, 0, 2))


def _times(left: Floats, a: Floats) -> Floats:
    """`left A'` for each of the many, `d x d x N`; `a` may be the same for all (`d x d x 1`)."""
    if a.shape[2] == 1:
        return np.asarray(np.matmul(a[:, :, 0], left))
    return np.asarray(np.einsum("ijn,kjn->ikn", left, a))
