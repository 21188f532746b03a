"""Where a part will end under a plan: mean, covariance and levers' leverage of the readings that decide, for every
draw.

One pass forward for the mean, one backward for impulse responses. In the settings the answer is exact where steps
act in
proportion, else a tangent at the plan, which the planner renews.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from process_opt.belief import Belief
from process_opt.model import ProcessModel
from process_opt.replan import corrected_later

Floats = NDArray[np.float64]

POINTS = 32
"""Quasi-random points for the joint probability of several readings; the first reading needs none."""


@dataclass(frozen=True)
class Outlook:
    """The `m` readings still to come that decide conformance, standardised, for `D` draws."""

    mean: Floats
    """`m x D` at the plan `v`."""
    cov: Floats
    """`m x m x D`, with the gauge's error: readings decide."""
    gain: Floats
    """`m x q x D`: response to each remaining setting."""
    v: Floats
    """`q`: the plan it was worked out at, standardised."""
    places: NDArray[np.int64]
    """`q`: which settings, by place."""
    lower: Floats
    upper: Floats
    """`m`: limits, standardised."""
    settled: bool
    """False: a deciding reading was already taken and lies outside its limits."""
    response: Floats
    """`m x d x D`: response to the state before the next step."""


def look_ahead(
    model: ProcessModel, belief: Belief, v: Floats, run: frozenset[int], *, replanned: bool = False
) -> Outlook:
    """The outlook from `belief` under settings `v` (all `S`, standardised), with the optional steps in `run`.

    Args:
        replanned: settings will be chosen anew after later readings, which takes from the covariance what these will
            show in time to be corrected (`replan.py`).
    """
    layout, process = model.layout, model.process
    size, d = model.size, layout.d
    deciding = [list(process.measurements).index(name) for name in process.conformance]
    step_of = [process.measurements[name][0] for name in process.conformance]
    settled = True
    open_ = []
    lower, upper = limits(model)
    for i, (place, k) in enumerate(zip(deciding, step_of, strict=True)):
        if k >= belief.at:
            open_.append(i)
        elif np.isfinite(y := belief.readings[place]):
            settled = settled and bool(lower[i] <= y <= upper[i])
    m = belief.mean
    maps: dict[int, tuple[Floats, Floats, Floats]] = {}
    means: dict[int, Floats] = {}
    for k in range(belief.at, len(process.steps)):
        if process.steps[k].optional and k not in run:
            means[k] = m
            continue
        here = v[list(layout.levers[k])][:, None]
        a, b = model.motions[k].map(here, model.draws[k])
        slopes = model.motions[k].slopes(here, model.draws[k], m)
        maps[k] = (a, b, slopes)
        m = np.einsum("ijn,jn->in", a, m) + b
        means[k] = m
    rows = len(open_)
    mean = np.array([means[step_of[i]][layout.coordinate[deciding[i]]] for i in open_]).reshape(rows, size)
    response: Floats = np.zeros((rows, d, size))
    cov: Floats = np.zeros((rows, rows, size))
    places = [p for k in range(belief.at, len(process.steps)) for p in layout.levers[k]]
    column = {p: q for q, p in enumerate(places)}
    gain = np.zeros((rows, len(places), size))
    for k in range(len(process.steps) - 1, belief.at - 1, -1):
        for r, i in enumerate(open_):
            if step_of[i] == k:
                response[r, layout.coordinate[deciding[i]]] = 1.0
        if k not in maps:
            continue
        a, _, slopes = maps[k]
        if not response.any():
            continue
        cov += np.einsum("rin,isn->rsn", response, np.tensordot(model.motions[k].noise, response, axes=([1], [1])))
        if layout.levers[k]:
            columns = [column[p] for p in layout.levers[k]]
            gain[:, columns] = np.einsum("rin,ijn->rjn", response, slopes)
        response = np.einsum("rin,ijn->rjn", response, a)
    cov += np.einsum("rin,isn->rsn", response, np.einsum("ijn,sjn->isn", belief.cov, response))
    if replanned and rows:
        cov = cov - corrected_later(model, belief, maps, deciding, step_of, open_, cov.mean(axis=2))[:, :, None]
    widen = np.asarray(model.check.get("widen", np.ones(len(deciding))))[open_]
    cov *= np.sqrt(np.outer(widen, widen))[:, :, None]
    cov[np.arange(rows), np.arange(rows)] += model.gauge[np.array(deciding)[open_]][:, None] + 1e-9
    return Outlook(
        mean=mean,
        cov=cov,
        gain=gain,
        v=v[places].copy(),
        places=np.array(places, dtype=np.int64),
        lower=lower[open_],
        upper=upper[open_],
        settled=settled,
        response=response,
    )


def limits(model: ProcessModel) -> tuple[Floats, Floats]:
    """Lower and upper limit of every deciding reading, standardised; infinite where there is none."""
    lower, upper = [], []
    names = list(model.process.measurements)
    for name in model.process.conformance:
        reading = model.process.measurements[name][1]
        place = names.index(name)
        scale = model.layout.scale[model.layout.coordinate[place]]
        lower.append((reading.lower - model.layout.mean[place]) / scale)
        upper.append((reading.upper - model.layout.mean[place]) / scale)
    return np.array(lower), np.array(upper)


def probabilities(outlook: Outlook, mean: Floats | None = None) -> Floats:
    """`D`: the chance that all readings conform, in each draw, by separation of variables (Genz 1992, eq. 2.5).

    Args:
        mean: `m x D` in place of the outlook's.
    """
    mu = outlook.mean if mean is None else mean
    rows, size = mu.shape
    if not outlook.settled:
        return np.zeros(size)
    if rows == 0:
        return np.ones(size)
    root = np.linalg.cholesky(outlook.cov.transpose(2, 0, 1))  # D x m x m
    low, high = (outlook.lower[:, None] - mu).T, (outlook.upper[:, None] - mu).T  # D x m
    first = root[:, 0, 0]
    a, b = ndtr(low[:, 0] / first), ndtr(high[:, 0] / first)
    if rows == 1:
        return np.asarray(b - a)
    points = _points(rows - 1)  # J x (m - 1)
    chance = np.repeat((b - a)[:, None], len(points), axis=1)  # D x J
    z = np.zeros((size, rows, len(points)))
    for r in range(1, rows):
        at = a[:, None] if a.ndim == 1 else a
        wide = (b - a)[:, None] if a.ndim == 1 else b - a
        z[:, r - 1] = ndtri(np.clip(at + points[None, :, r - 1] * wide, 1e-12, 1 - 1e-12))
        shift = np.einsum("nc,ncj->nj", root[:, r, :r], z[:, :r])
        sd = root[:, r, r][:, None]
        a, b = ndtr((low[:, r][:, None] - shift) / sd), ndtr((high[:, r][:, None] - shift) / sd)
        chance *= b - a
    return np.asarray(chance.mean(axis=1))


_cache: dict[int, Floats] = {}


def _points(dimensions: int) -> Floats:
    if dimensions not in _cache:
        _cache[dimensions] = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(5)).random(POINTS)
    return _cache[dimensions]
