"""Does the history ask for bent effects (a setting squared) and joint ones (a setting that changes
what the state does)?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from process_opt.estimate import Data, Estimate, features, settings_at, usable
from process_opt.state_space import Term

Floats = NDArray[np.float64]

MOST_WEIGHTS = 2600
"""Of the whole process: the joint information matrix is square in it and must be inverted."""
FEWEST = 200
"""Rows below which a step's effects are taken to be straight."""
SURE = 5.0
"""Standard deviations by which a term's score must differ from nothing; among a few thousand tests
none passes by luck."""


def wanted_terms(estimate: Estimate, data: Data) -> list[tuple[Term, ...]]:
    """For each step the further terms that a score test asks for; empty where a straight line does.

    The residual of each step (smoothed) is regressed on the candidates after the present terms are projected out. Where
    people chose, a setting at the machine's limit is left out: they may see more than they log and have wanted to go
    further, which bends what is seen between the setting and the outcome though the step itself is straight.
    """
    d = estimate.layout.d
    steps = len(estimate.motions)
    left = [np.zeros((0, 0))] * steps
    cross = [np.zeros((0, 0))] * steps
    candidates = [_candidates(len(estimate.layout.levers[k]), d) for k in range(steps)]
    square = np.zeros((steps, d))
    count = np.zeros(steps)
    for part in data.chunks():
        path = estimate.path(part)
        x0 = path.start
        for k, motion in enumerate(estimate.motions):
            levers = list(estimate.layout.levers[k])
            use = usable(estimate, part, k) * (part.pressed[levers] == 0).all(axis=0)
            v = settings_at(estimate, part, k)
            phi, _ = features(motion, v, x0)
            r = estimate.left_over(part, k, x0, path.mean[k]) * use
            more = _values(candidates[k], v, x0)
            every = np.vstack([phi, more]) * use
            if left[k].size == 0:
                left[k] = np.zeros((len(every), len(every)))
                cross[k] = np.zeros((d, len(every)))
            left[k] += every @ every.T
            cross[k] += r @ every.T
            square[k] += (r * r).sum(axis=1)
            count[k] += use.sum()
            x0 = path.mean[k]
    weights = sum(m.weights.size for m in estimate.motions)
    ranked: list[tuple[float, int, Term]] = []
    for k in range(steps):
        if not candidates[k] or count[k] < FEWEST:
            continue
        f = len(estimate.motions[k].terms)
        a, b, c = left[k][:f, :f], left[k][:f, f:], left[k][f:, f:]
        solve = np.linalg.solve(a + 1e-6 * np.eye(f) * count[k], np.hstack([b, cross[k][:, :f].T]))
        rest = np.diag(c - b.T @ solve[:, : b.shape[1]]) + 1e-6 * count[k]
        score = cross[k][:, f:] - (b.T @ solve[:, b.shape[1] :]).T
        z2 = score**2 / rest / np.maximum(square[k] / count[k], 1e-12)[:, None]
        ranked += [(float(z2[:, i].max()), k, term) for i, term in enumerate(candidates[k]) if z2[:, i].max() > SURE**2]
    chosen: list[tuple[Term, ...]] = [()] * steps
    for _, k, term in sorted(ranked, key=lambda r: -r[0]):
        weights += d
        if weights > MOST_WEIGHTS:
            break
        chosen[k] = (*chosen[k], term)
    return chosen


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
