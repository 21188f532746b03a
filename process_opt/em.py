"""Penalised maximum likelihood of the state space by EM; `climb.py` goes on from where EM crawls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.counted import gauge_error
from process_opt.estimate import (
    CHANCE_PARTS,
    GAUGE_PARTS,
    SMALLEST_NOISE,
    USUAL_CHANCE,
    USUAL_GAUGE,
    Data,
    Estimate,
    features,
    settings_at,
    usable,
)
from process_opt.habit_sums import add_habit, fitted_habit
from process_opt.hands import HERE, Hands
from process_opt.state_space import Motion, Seen

Floats = NDArray[np.float64]


class StepSums:
    """Expected sufficient statistics of one step."""

    def __init__(self, d: int, f: int) -> None:
        self.n = 0.0
        self.phi = np.zeros((f, f))
        self.cross = np.zeros((d, f))
        self.square = np.zeros((d, d))

    def add(self, other: StepSums) -> None:
        """Those of further parts."""
        self.n += other.n
        self.phi += other.phi
        self.cross += other.cross
        self.square += other.square


@dataclass
class PassSums:
    """What one pass of EM sums over the parts."""

    steps: list[StepSums]
    start_mean: Floats
    start_square: Floats
    count: int
    gauge: Floats
    """`M`, squared errors of the readings."""
    gauge_n: Floats
    habits: dict[int, list[Any]]
    """As `add_habit` takes them."""

    def add(self, other: PassSums) -> None:
        """Those of further parts."""
        for mine, theirs in zip(self.steps, other.steps, strict=True):
            mine.add(theirs)
        self.start_mean += other.start_mean
        self.start_square += other.start_square
        self.count += other.count
        self.gauge += other.gauge
        self.gauge_n += other.gauge_n
        for place, sums in other.habits.items():
            self.habits[place] = [a + b for a, b in zip(self.habits[place], sums, strict=True)]


def em(
    estimate: Estimate,
    data: Data,
    *,
    passes: int,
    hands: Hands = HERE,
    progress: Callable[[float], None] | None = None,
) -> Estimate:
    """`passes` rounds of expectation and (penalised) maximisation."""
    for i in range(passes):
        estimate = _maximised(estimate, _all(hands.each(pass_sums, estimate, data)))
        if progress is not None:
            progress((i + 1) / passes)
    return estimate


def _all(shares: Iterator[PassSums]) -> PassSums:
    total = next(shares)
    for one in shares:
        total.add(one)
    return total


def pass_sums(estimate: Estimate, data: Data) -> PassSums:
    """The sums over some parts, under the parameters as they are."""
    d, steps = estimate.layout.d, len(estimate.motions)
    out = PassSums(
        steps=[StepSums(d, len(m.terms)) for m in estimate.motions],
        start_mean=np.zeros(d),
        start_square=np.zeros((d, d)),
        count=0,
        gauge=np.zeros(len(estimate.gauge)),
        gauge_n=np.zeros(len(estimate.gauge)),
        habits={place: [np.zeros((1 + 2 * d, 1 + 2 * d)), np.zeros(1 + 2 * d), 0.0, 0.0] for place in estimate.habits},
    )
    for part in data.chunks():
        path = estimate.path(part)
        n = part.size
        out.start_mean += path.start.sum(axis=1)
        out.start_square += path.start @ path.start.T + path.start_cov.sum(axis=2)
        out.count += n
        x0, p0 = path.start, path.start_cov
        seen = Seen.nothing(d, n)
        for k in range(steps):
            use = usable(estimate, part, k)
            x1, p1 = path.mean[k], path.cov[k]
            levers = list(estimate.layout.levers[k])
            v = settings_at(estimate, part, k)
            moved = x1 - estimate.added(part, k)
            _add_step(out.steps[k], estimate.motions[k], use, v, x0, p0, moved, p1, path.cross[k])
            for place in levers:
                if place in out.habits:
                    add_habit(out.habits[place], estimate.habits[place], part, place, x0, p0, seen, part.last >= k)
            for place, c in estimate.layout.reads[k]:
                known = np.isfinite(part.y[place])
                if place in path.sites:
                    ends = path.bounds[place]
                    squares = gauge_error(x1[c], p1[c, c], path.sites[place], ends, estimate.gauge[place], known)
                    out.gauge[place] += float(squares.sum())
                else:
                    r = np.where(known, part.y[place] - x1[c], 0.0)
                    out.gauge[place] += float((r * r + np.where(known, p1[c, c], 0.0)).sum())
                out.gauge_n[place] += float(known.sum())
                seen.read(c, part.y[place], float(estimate.gauge[place]), part.skipped[k], estimate.unlogged)
            x0, p0 = x1, p1
    return out


def _maximised(estimate: Estimate, sums: PassSums) -> Estimate:
    d = estimate.layout.d
    mean = sums.start_mean / sums.count
    cov = sums.start_square / sums.count - np.outer(mean, mean) + 1e-4 * np.eye(d)
    learnt = (sums.gauge + GAUGE_PARTS * USUAL_GAUGE) / (sums.gauge_n + GAUGE_PARTS)
    motions = tuple(
        _maximise(m, s, estimate.prior_mean(k), estimate.penalty[k])
        for k, (m, s) in enumerate(zip(estimate.motions, sums.steps, strict=True))
    )
    return replace(
        estimate,
        motions=motions,
        gauge=np.where(estimate.gauge_known, estimate.gauge, learnt),
        start=(mean, cov),
        habits={place: fitted_habit(estimate.habits[place], s, d) for place, s in sums.habits.items()},
    )


def _add_step(
    s: StepSums, motion: Motion, use: Floats, v: Floats, x0: Floats, p0: Floats, x1: Floats, p1: Floats, cross: Floats
) -> None:
    phi, by_state = features(motion, v, x0)
    if motion.law is not None:  # what the formula says, for the constants as they are, is taken off
        a, _ = motion.map(v, at=x0)
        given = a - np.einsum("if,fjn->ijn", motion.weights, by_state)
        x1 = x1 - (motion.move(v, x0) - motion.weights @ phi)
        tie = np.einsum("ijn,kjn->ikn", cross, given)
        p1 = p1 - tie - tie.transpose(1, 0, 2) + np.einsum("ijn,jln,kln->ikn", given, p0, given, optimize=True)
        cross = cross - np.einsum("ijn,jkn->ikn", given, p0)
    weighted = phi * use
    s.n += float(use.sum())
    s.phi += weighted @ phi.T
    s.cross += x1 @ weighted.T
    s.square += (x1 * use) @ x1.T + p1 @ use
    if motion.columns:
        s.phi += np.einsum("fin,ijn,gjn->fg", by_state * use, p0, by_state, optimize=True)
        s.cross += np.einsum("ijn,fjn->if", cross * use, by_state, optimize=True)
        return
    state = [f for f, (_, c) in enumerate(motion.terms) if c >= 0]
    cs = [motion.terms[f][1] for f in state]
    if all(not motion.terms[f][0] for f in state):
        s.phi[np.ix_(state, state)] += (p0 @ use)[np.ix_(cs, cs)]
        s.cross[:, state] += (cross @ use)[:, cs]
    else:
        gs = by_state[state, cs]
        s.phi[np.ix_(state, state)] += np.einsum("fn,gn,fgn->fg", gs * use, gs, p0[np.ix_(cs, cs)], optimize=True)
        s.cross[:, state] += np.einsum("ifn,fn->if", cross[:, cs], gs * use)


def _maximise(motion: Motion, s: StepSums, prior: Floats, penalty: Floats) -> Motion:
    d = motion.weights.shape[0]
    weights = np.empty_like(motion.weights)
    for i in range(d):
        q = max(motion.noise[i, i], SMALLEST_NOISE)
        left = s.phi / q + np.diag(penalty[i])
        weights[i] = np.linalg.solve(left, s.cross[i] / q + penalty[i] * prior[i])
    rest = s.square - weights @ s.cross.T - s.cross @ weights.T + weights @ s.phi @ weights.T
    noise = (rest + CHANCE_PARTS * USUAL_CHANCE * np.eye(d)) / (s.n + CHANCE_PARTS) + SMALLEST_NOISE * np.eye(d)
    return replace(motion, weights=weights, noise=(noise + noise.T) / 2)
