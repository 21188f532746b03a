"""Does the history ask for bent effects (a setting squared) and joint ones (a setting that changes
what the state does)?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from process_opt.climb import carried, tie_before
from process_opt.estimate import Data, Estimate, features, settings_at, usable
from process_opt.state_space import Term

Floats = NDArray[np.float64]

MOST_WEIGHTS = 2600
"""Of the whole process: the joint information matrix is square in it and must be inverted."""
FEWEST = 200
"""Rows below which a step's effects are taken to be straight."""
BY_LUCK = 0.05
"""Share of the terms taken in that chance may have brought: where steps are bent they are so in many ways, and what one
test alone is not sure of all of them together are. A bend that is left out makes promises too sure of themselves."""


def wanted_terms(estimate: Estimate, data: Data) -> list[tuple[Term, ...]]:
    """For each step the further terms that score tests ask for; empty where a straight line does.

    Where people chose, a setting at the machine's limit is left out: they may see more than they log and have wanted to
    go further, which bends what is seen between the setting and the outcome though the step itself is straight.
    """
    d = estimate.layout.d
    candidates = [_candidates(len(levers), d) for levers in estimate.layout.levers]
    sums = [_Sums() for _ in estimate.motions]
    for part in data.chunks():
        path = estimate.path(part)
        x0, p0 = path.start, path.start_cov
        for k, motion in enumerate(estimate.motions):
            levers = list(estimate.layout.levers[k])
            if candidates[k]:
                use = usable(estimate, part, k) * (part.pressed[levers] == 0).all(axis=0)
                v = settings_at(estimate, part, k)
                phi, by_state = features(motion, v, x0)
                r = estimate.left_over(part, k, x0, path.mean[k])
                tie = tie_before(path.cross[k], p0, carried(motion, v, x0))
                own = r[:, None] * phi + np.einsum("icn,fcn->ifn", tie, by_state)
                more = r[:, None] * _values(candidates[k], v, x0) + _tied(candidates[k], v, tie)
                pull = np.linalg.inv(motion.noise)
                own, more = (np.tensordot(pull, s * use, axes=1).reshape(-1, part.size) for s in (own, more))
                sums[k].add(own, more, int(use.sum()))
            x0, p0 = path.mean[k], path.cov[k]
    weights = sum(m.weights.size for m in estimate.motions)
    ranked: list[tuple[float, int, Term]] = []
    tests: list[Floats] = []
    for k, own_sums in enumerate(sums):
        if own_sums.rows >= FEWEST:
            z2 = own_sums.squared_scores()
            most = z2.reshape(d, -1).max(axis=0)
            ranked += [(float(most[i]), k, term) for i, term in enumerate(candidates[k])]
            tests.append(z2)
    least = least_passing(np.concatenate(tests)) if tests else np.inf
    chosen: list[tuple[Term, ...]] = [()] * len(sums)
    for z2_most, k, term in sorted(ranked, key=lambda r: -r[0]):
        weights += d
        if z2_most < least or weights > MOST_WEIGHTS:
            break
        chosen[k] = (*chosen[k], term)
    return chosen


@dataclass
class _Sums:
    """Sums over the parts of a step's scores: of the weights it has (`q`) and of those it might have (`c`)."""

    rows: int = 0
    own: Floats | float = 0.0
    """`q`"""
    more: Floats | float = 0.0
    """`c`"""
    square: Floats | float = 0.0
    """`q x q`, of products of the former."""
    cross: Floats | float = 0.0
    """`q x c`"""
    scatter: Floats | float = 0.0
    """`c`, of squares of the latter."""

    def add(self, own: Floats, more: Floats, rows: int) -> None:
        """Take in the scores of some parts, `q x N` and `c x N`."""
        self.rows += rows
        self.own, self.more = self.own + own.sum(axis=1), self.more + more.sum(axis=1)
        self.square, self.cross = self.square + own @ own.T, self.cross + own @ more.T
        self.scatter = self.scatter + (more**2).sum(axis=1)

    def squared_scores(self) -> Floats:
        """`c`: squared scores in standard deviations of the parts' own scatter, given that the weights the step has are
        free.

        Scores are compared, not the states that are believed in: of a part that nobody read before a step, what is
        believed before it and after it comes from the same later readings, so that the one explains the other and no
        bend is left to see.
        """
        square = np.asarray(self.square)
        known = square + 1e-9 * (np.trace(square) + 1e-9) * np.eye(len(square))
        tie = np.linalg.solve(known, self.cross)
        total = self.more - tie.T @ self.own
        rest = self.scatter - 2 * (tie * self.cross).sum(axis=0) + (tie * (square @ tie)).sum(axis=0)
        return np.asarray(total**2 / np.maximum(rest, 1e-9 * np.maximum(self.scatter, 1e-12)))


def least_passing(z2: Floats) -> float:
    """The least squared score that passes where all of these are tested: of those that do, no more than `BY_LUCK` are
    expected to have been brought by chance (Benjamini and Hochberg 1995). Infinite where none passes.

    Args:
        z2: squares of scores in their standard deviations.
    """
    ranked = np.sort(z2)[::-1]
    chance = 2 * ndtr(-np.sqrt(ranked))
    passed = np.flatnonzero(chance <= BY_LUCK * (np.arange(ranked.size) + 1) / ranked.size)
    return float(ranked[passed[-1]]) if passed.size else np.inf


def _candidates(levers: int, d: int) -> tuple[Term, ...]:
    squares = [((i, j), -1) for i in range(levers) for j in range(i, levers)]
    joint = [((j,), c) for j in range(levers) for c in range(d)] if d * levers <= 24 else []
    cubes = [((j, j, j), -1) for j in range(levers)]
    return tuple([*squares, *cubes, *joint]) if levers else ()


def _values(terms: tuple[Term, ...], v: Floats, x: Floats) -> Floats:
    rows = []
    for levers, c in terms:
        value = np.ones(x.shape[1])
        for j in levers:
            value = value * v[j]
        rows.append(value * x[c] if c >= 0 else value)
    return np.array(rows).reshape(len(rows), x.shape[1])


def _tied(terms: tuple[Term, ...], v: Floats, tie: Floats) -> Floats:
    """`d x C x N`: what comes to the terms' scores from how what a step left over goes with the state before it."""
    out = np.zeros((len(tie), len(terms), v.shape[1]))
    for i, (levers, c) in enumerate(terms):
        if c >= 0:
            out[:, i] = tie[:, c] * v[list(levers)].prod(axis=0)
    return out
