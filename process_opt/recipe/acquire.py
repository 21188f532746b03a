"""Where to try next: expected improvement on function networks (Astudillo & Frazier 2021), with exact slopes.

The improvement is averaged over fixed draws of the network, softened and taken as a logarithm (Ament et al. 2023), so
that it has a slope also where hardly any draw improves; it is then climbed from several places at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, logsumexp, ndtr
from scipy.stats import qmc

from process_opt.recipe.flow import Belief, Drawn

Floats = NDArray[np.float64]

FEW, MANY = 8, 32
"""Draws to look around with, and to climb with."""
AROUND, NEAR = 192, 96
"""Places looked at: anywhere, and near the best known ones."""
STARTS = 6
CLIMBS = 40
"""Most evaluations of one climb."""
SOFT = 0.1
"""Where the objective is a formula: softening of its improvement, in its median standard deviation over draws."""
FAR = 200.0
"""Standard deviations below the best from which on improvements are not told apart any further."""
MILLS, LOG_ROOT = float(np.sqrt(np.pi / 2)), float(np.log(2 * np.pi) / 2)
APART = 1e-6
"""In the unit cube: nearer places count as the same."""


@dataclass(frozen=True)
class Choice:
    """Where to try next."""

    x: Floats
    """`d`, in the unit cube."""
    improvement: float
    """Expected, in the objective's unit, over the best known."""


def choose(belief: Belief, tried: Floats, worth: Floats, seed: int) -> Choice:
    """The place where the expected improvement over `max(worth)` is largest.

    Args:
        tried: `N x d`, places tried or being tried, in the unit cube.
        worth: `N`, the objective there, as far as it is known.
        seed: of the quasi-random numbers.
    """
    best = float(worth.max())
    rng = np.random.default_rng([seed, 3])
    normals = belief.normals(MANY, seed)
    around = _around(tried, worth, rng)
    few = belief.draw(around, normals[:FEW])
    soft = SOFT * max(float(np.median(few.mean.std(axis=1))), 1e-12)
    starts = around[_spread_out(log_improvement(few.mean, _open(few, soft), best)[0], rng)]
    first = belief.draw(starts, normals)
    soft = SOFT * max(float(np.median(first.mean.std(axis=1))), 1e-6 * soft)

    def minus(x: Floats) -> tuple[Floats, Floats]:
        drawn = belief.draw(x, normals)
        score, on_mean, on_sd = log_improvement(drawn.mean, _open(drawn, soft), best)
        return -score, -belief.slopes(drawn, on_mean, on_sd)

    ends = climb(minus, starts)
    places = np.array([snapped(belief, x) for x in np.vstack([ends, starts])])
    drawn = belief.draw(places, normals)
    score = log_improvement(drawn.mean, _open(drawn, soft), best)[0]
    new = np.abs(places[:, None] - tried[None]).max(axis=2).min(axis=1, initial=1.0) > APART
    top = int(np.lexsort((score, new))[-1])
    if drawn.sd.shape == drawn.mean.shape:
        return Choice(places[top], float(np.exp(score[top])))
    return Choice(places[top], float(np.maximum(drawn.mean[top] - best, 0).mean()))


def _open(drawn: Drawn, soft: float) -> Floats:
    """The objective's standard deviation given its parents; a softening where it is a formula."""
    return drawn.sd if drawn.sd.shape == drawn.mean.shape else np.full(drawn.mean.shape, soft)


def snapped(belief: Belief, x: Floats) -> Floats:
    """The nearest point that can be set."""
    if all(i.step is None for i in belief.network.inputs):
        return np.asarray(np.clip(x, 0.0, 1.0))
    return belief.network.cube(belief.network.units(np.clip(x, 0.0, 1.0)))


def log_improvement(mean: Floats, sd: Floats, best: float) -> tuple[Floats, Floats, Floats]:
    """Logarithm of the expected improvement over `best`, averaged over draws.

    In each draw the objective is normal (`mean`, `sd`: `S x Q`), so that its improvement is `sd h(u)` with
    `h(u) = phi(u) + u Phi(u)`, `u = (mean - best) / sd`; far below 0 it is worked out as in Ament et al. 2023, eq. 9.

    Returns:
        `S`, and its slopes on mean and standard deviation, `S x Q`.
    """
    u = (mean - best) / sd
    below = np.clip(u, -FAR, 0.0)
    ratio = MILLS * erfcx(-below / np.sqrt(2.0))  # Phi / phi
    per_phi = 1.0 + below * ratio  # h / phi
    low = below < -FAR / 2
    per_phi[low] = 1.0 / below[low] ** 2 - 3.0 / below[low] ** 4
    log = np.log(per_phi) - u * u / 2 - LOG_ROOT
    by_mean, by_sd = ratio / per_phi, 1.0 / per_phi
    high = u > 0
    phi, whole = np.exp(-(u[high] ** 2) / 2 - LOG_ROOT), ndtr(u[high])
    h = phi + u[high] * whole
    log[high], by_mean[high], by_sd[high] = np.log(h), whole / h, phi / h
    log += np.log(sd)
    total = logsumexp(log, axis=1)
    share = np.exp(log - total[:, None]) / sd
    return total - np.log(u.shape[1]), share * by_mean, share * by_sd


def _around(tried: Floats, worth: Floats, rng: np.random.Generator) -> Floats:
    """Places to look at: anywhere, and near the best ones, at distances of all orders of magnitude."""
    d = tried.shape[1]
    anywhere = qmc.Sobol(d, scramble=True, rng=rng).random(256)[:AROUND]
    top = tried[np.argsort(worth)[::-1][: max(1, min(4, len(tried)))]]
    size = 10 ** rng.uniform(-4, -0.3, (NEAR, 1))
    mask = rng.random((NEAR, d)) < np.maximum(rng.random((NEAR, 1)), 1.0 / d)
    near = top[np.arange(NEAR) % len(top)] + size * mask * rng.standard_normal((NEAR, d))
    return np.vstack([anywhere, np.clip(near, 0, 1)])


def _spread_out(score: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    """The best place, and others drawn by rank of their score, half of them from anywhere."""
    chosen = [int(np.argmax(score)), int(np.argmax(score[:AROUND]))]
    rank = np.empty(len(score))
    rank[np.argsort(score)[::-1]] = np.arange(len(score))
    weight = np.exp(-rank / 10)
    for _ in range(STARTS - 2):
        weight[chosen] = 0.0
        chosen.append(int(rng.choice(len(score), p=weight / weight.sum())))
    return np.array(chosen)


def climb(minus: Callable[[Floats], tuple[Floats, Floats]], starts: Floats) -> Floats:
    """The lowest places found from every start, `S x d` in the unit cube: BFGS for all starts side by side.

    The box is met by `x = (1 - cos t) / 2`. Every evaluation holds one trial step of each start that still moves; a
    step that does not descend enough (Armijo) is shortened.
    """
    count, d = starts.shape
    t = np.arccos(1 - 2 * np.clip(starts, 1e-4, 1 - 1e-4))
    live = np.arange(count)

    def at(t: Floats) -> tuple[Floats, Floats]:
        value, slope = minus((1 - np.cos(t)) / 2)
        return value, slope * np.sin(t) / 2

    value, slope = at(t)
    metric = np.repeat(np.eye(d)[None], count, axis=0)
    metric *= (0.1 / np.maximum(np.linalg.norm(slope, axis=1), 1e-9))[:, None, None]
    step = -np.einsum("sij,sj->si", metric, slope)
    length = np.ones(count)
    fresh = np.ones(count, dtype=bool)
    for _ in range(CLIMBS):
        if not len(live):
            break
        move = length[live, None] * step[live]
        new, steep = at(t[live] + move)
        down = (slope[live] * step[live]).sum(axis=1)
        good = np.isfinite(new) & (new <= value[live] + 1e-4 * length[live] * down)
        still = np.ones(len(live), dtype=bool)
        for i in np.flatnonzero(~good):
            s = live[i]
            length[s] *= 0.25
            still[i] = length[s] * np.abs(step[s]).max() > 1e-9
        for i in np.flatnonzero(good):
            s = live[i]
            y = steep[i] - slope[s]
            along = float(y @ move[i])
            gained = value[s] - new[i]
            if along > 1e-12 * float(np.linalg.norm(y) * np.linalg.norm(move[i])):
                if fresh[s]:
                    metric[s] = np.eye(d) * along / float(y @ y)
                    fresh[s] = False
                hy = metric[s] @ y
                metric[s] += (1 + float(y @ hy) / along) / along * np.outer(move[i], move[i])
                metric[s] -= (np.outer(hy, move[i]) + np.outer(move[i], hy)) / along
            t[s] += move[i]
            value[s], slope[s] = new[i], steep[i]
            step[s] = -metric[s] @ slope[s]
            if float(step[s] @ slope[s]) >= 0:
                metric[s] = np.eye(d) * 0.1 / max(float(np.linalg.norm(slope[s])), 1e-9)
                step[s] = -metric[s] @ slope[s]
            widest = float(np.abs(step[s]).max())
            if widest > 0.7:
                step[s] *= 0.7 / widest
            length[s] = 1.0
            still[i] = gained > 1e-4 or widest > 1e-3
        live = live[still]
    return np.asarray((1 - np.cos(t)) / 2)
