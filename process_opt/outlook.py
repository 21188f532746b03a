"""Where a part will end under a plan: mean, covariance and levers' leverage of the readings that decide, for every
draw.

One pass forward for the mean, one backward for impulse responses. In the settings the answer is exact where steps
act in proportion, else a tangent at the plan, which the planner renews. A formula is worked out itself for every plan,
at the state that each draw then expects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from process_opt.belief import Belief, Missed
from process_opt.farther import doubt, far
from process_opt.model import ProcessModel
from process_opt.replan import corrected_later

Floats = NDArray[np.float64]

AT_ONCE = 3
"""Plans worked out together; five of 50 steps take twice as long together as three and two."""
POINTS = 32
"""Quasi-random points for the joint probability of several readings; the first reading needs none."""


@dataclass(frozen=True)
class Outlook:
    """The `m` readings that decide conformance and are not on record, standardised, for `D` draws: those still to come,
    then those that were missed."""

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
    """`m x d x D`: response to the state before the next step; of what was missed, how it goes with that state."""
    deciding: tuple[int, ...] = ()
    """`m`: which of the readings that decide conformance, in its order."""
    shown: Floats | None = None
    """`m x m x D`: how much of `cov` later readings will show before the last step, where plans are renewed."""


def look_ahead(
    model: ProcessModel, belief: Belief, v: Floats, run: frozenset[int], *, replanned: bool = False
) -> Outlook:
    """The outlook from `belief` under settings `v` (all `S`, standardised), with the optional steps in `run`.

    Args:
        replanned: settings will be chosen anew after later readings, which takes from the covariance what these will
            show in time to be corrected (`replan.py`).
    """
    return look_ahead_each(model, belief, [v], [run], replanned=replanned)[0]


def look_ahead_each(
    model: ProcessModel, belief: Belief, vs: list[Floats], runs: list[frozenset[int]], *, replanned: bool = False
) -> list[Outlook]:
    """`look_ahead` for several plans at once, which takes little longer than for one; a few at a time, so that the
    arrays stay in the processor's cache."""
    if len(vs) > AT_ONCE:
        return [
            ahead
            for first in range(0, len(vs), AT_ONCE)
            for ahead in look_ahead_each(
                model, belief, vs[first : first + AT_ONCE], runs[first : first + AT_ONCE], replanned=replanned
            )
        ]
    t, at, layout = model.tables, belief.at, model.layout
    d, size, plans = layout.d, model.size, len(vs)
    deciding = [list(model.process.measurements).index(name) for name in model.process.conformance]
    step_of = [model.process.measurements[name][0] for name in model.process.conformance]
    lower, upper = limits(model)
    open_ = [i for i, k in enumerate(step_of) if k >= at]
    taken = [(i, belief.readings[place]) for i, place in enumerate(deciding) if i not in open_]
    settled = all(lower[i] <= y <= upper[i] for i, y in taken if np.isfinite(y))
    missed = belief.missed
    ahead_of = len(open_)  # those still to come are the first rows
    open_ += [] if missed is None else [deciding.index(place) for place in missed.places]
    v = np.array(vs).T
    ran = np.array([[not o or k in run for run in runs] for k, o in enumerate(t.optional)], dtype=float)[at:]
    carry, states, acts = go_forward(model, belief, v, ran)
    rows = len(open_)
    mean = np.zeros((rows, plans, size))
    for r, i in enumerate(open_[:ahead_of]):
        mean[r] = states[step_of[i] - at + 1, layout.coordinate[deciding[i]]]
    after = np.zeros((len(ran), rows, d, plans, size))
    response = np.zeros((rows, d, plans, size))
    for k in range(len(ran) - 1, -1, -1):
        for r, i in enumerate(open_):
            if step_of[i] == at + k:
                response[r, layout.coordinate[deciding[i]]] = 1.0
        after[k] = response
        response = np.einsum("ripn,ijpn->rjpn", response, carry[k])
    cov = _chance(after, t.root[at:], ran)
    cov += np.einsum("ripn,ispn->prsn", response, _spread(belief.cov, response))
    if missed is not None:
        mean[ahead_of:] = missed.mean[:, None]
        tied = np.einsum("ripn,sin->prsn", response[:ahead_of], missed.tie)
        cov[:, :ahead_of, ahead_of:], cov[:, ahead_of:, :ahead_of] = tied, tied.transpose(0, 2, 1, 3)
        cov[:, ahead_of:, ahead_of:] = missed.cov
        response[ahead_of:] = _goes_with(missed, belief)[:, :, None]
    first = int(np.searchsorted(t.step_of, at))
    gain = _gain(model, at, first, v, states, after, ran)
    for k, written, slopes in acts:
        levers = np.array(model.layout.levers[at + k], dtype=np.int64) - first
        gain[:, levers] += np.einsum("mrpn,rqpn->mqpn", after[k][:, written], slopes)
    wrong, widen = model.wrong[open_], model.within(at)[open_]
    out = []
    for p in range(plans):
        mine, shown = cov[p], None
        if replanned and rows:
            less, stays = corrected_later(
                model, belief, carry[:, :, :, p], after[:, :, :, p], gain[:, :, p], ran[:, p], mine
            )
            mine, shown = mine - less, stays * widen[:, None] * widen[None, :]
        mean[:, p] += wrong * np.sqrt(np.maximum(mine[np.arange(rows), np.arange(rows)], 0.0))
        mine = mine * widen[:, None] * widen[None, :]
        mine[np.arange(rows), np.arange(rows)] += model.gauge_behind[np.array(deciding)[open_]][:, None] + 1e-9
        places = np.arange(first, len(t.step_of))
        if (beyond := far(t, places, vs[p][first:])).any():
            mine = mine + doubt(gain[:, :, p], beyond)
        out.append(
            Outlook(
                mean=mean[:, p],
                cov=mine,
                gain=np.ascontiguousarray(gain[:, :, p]),
                v=vs[p][first:].copy(),
                places=places,
                lower=lower[open_],
                upper=upper[open_],
                settled=settled,
                response=response[:, :, p],
                deciding=tuple(open_),
                shown=shown,
            )
        )
    return out


def _goes_with(missed: Missed, belief: Belief) -> Floats:
    """`q x d x D`: regression of what was missed on the state of now."""
    little = 1e-9 * np.eye(len(belief.cov))
    solved = np.linalg.solve(belief.cov.transpose(2, 0, 1) + little, missed.tie.transpose(2, 1, 0))
    return np.ascontiguousarray(solved.transpose(2, 1, 0))


def go_forward(
    model: ProcessModel, belief: Belief, v: Floats, ran: Floats
) -> tuple[Floats, Floats, list[tuple[int, list[int], Floats]]]:
    """The way of a part under `P` plans in every draw.

    Args:
        v: `S x P` settings, standardised.
        ran: `T x P`, 1 where a step from `belief.at` on is run, else 0.

    Returns:
        What each step carries on (`T x d x d x P x D`, at the state expected before it), the expected states before
        each step and at the end (`T + 1 x d x P x D`), and for each step with a formula its place, the coordinates
        that it writes and how its settings act on them (`R x p x P x D`).
    """
    at = belief.at
    if any(m.late for m in model.motions[at:]):
        v = np.where((model.tables.step_of < at)[:, None], belief.settings[:, None], v)
    carry, push = _maps(model, at, v, ran)
    states = np.empty((len(ran) + 1, model.layout.d, v.shape[1], model.size))
    states[0] = belief.mean[:, None]
    if any(m.law is not None for m in model.motions[at:]) and not carry.flags.writeable:
        carry = carry.copy()
    acts: list[tuple[int, list[int], Floats]] = []
    for k in range(len(ran)):
        if (law := model.motions[at + k].law) is not None and ran[k].any():
            acts.append((k, law.rows, _formula(model, at + k, v, states[k], carry[k], push[k], ran[k])))
        states[k + 1] = np.einsum("ijpn,jpn->ipn", carry[k], states[k]) + push[k]
    return carry, states, acts


def _maps(model: ProcessModel, at: int, v: Floats, ran: Floats) -> tuple[Floats, Floats]:
    """What the steps from `at` on do: `T x d x d x P x D` and `T x d x P x D`."""
    t = model.tables
    d, plans = model.layout.d, v.shape[1]
    push = np.repeat(t.offset[at:][:, :, None], plans, axis=2)
    first = t.shifts.since(at)
    values = t.shifts.values(v, first)
    used = np.flatnonzero(values.any(axis=1))
    for i in used:
        push[t.shifts.step[first + i] - at] += t.shifts.weight[first + i][:, None] * values[i][None, :, None]
    first = t.joint.since(at)
    values = t.joint.values(v, first)
    used = np.flatnonzero(values.any(axis=1))
    whole = bool((ran == 1.0).all())
    if not used.size and whole:
        return np.broadcast_to(t.carry[at:][:, :, :, None], (len(ran), d, d, plans, model.size)), push
    carry = np.repeat(t.carry[at:][:, :, :, None], plans, axis=3)
    for i in used:
        k, c = t.joint.step[first + i] - at, t.joint.coordinate[first + i]
        carry[k, :, c] += t.joint.weight[first + i][:, None] * values[i][None, :, None]
    for k, p in np.argwhere(ran == 0.0):
        push[k, :, p] = 0.0
        carry[k, :, :, p] = np.eye(d)[:, :, None]
    return carry, push


def _formula(model: ProcessModel, k: int, v: Floats, x: Floats, carry: Floats, push: Floats, ran: Floats) -> Floats:
    """Add the formula of step `k` at states `x` (`d x P x D`) to what the step carries on and pushes, where it is run.

    Returns:
        How its settings act there, `R x p x P x D`.
    """
    motion = model.motions[k]
    assert motion.law is not None
    constants = model.draws[k][list(motion.law.owners), motion.columns]
    here = v[list(model.layout.levers[k])][:, :, None]
    local = motion.law.local(x, here, constants[:, None], settings=True)
    on = ran[:, None]
    carry[motion.law.rows] += local.by_state * on
    push[motion.law.rows] += (local.value - np.einsum("rdpn,dpn->rpn", local.by_state, x)) * on
    return local.by_setting * on


def _chance(after: Floats, root: Floats, ran: Floats) -> Floats:
    """What the steps' own chance adds to the covariance of the deciding readings, `P x m x m x D`.

    Args:
        after: response to the state after each step, `T x m x d x P x D`.
        root: square root of each step's chance, `T x d x d`.
        ran: `T x P`, 1 where a step is run.
    """
    steps, rows, d, plans, size = after.shape
    # One matrix product for all plans and draws: with einsum over all at once this took six times as long.
    moved = (root.transpose(0, 2, 1)[:, None] @ after.reshape(steps, rows, d, plans * size)).reshape(after.shape)
    if (ran != 1.0).any():
        moved *= ran[:, None, None, :, None]
    cov = np.empty((plans, rows, rows, size))
    for r in range(rows):
        for s in range(r + 1):
            cov[:, r, s] = cov[:, s, r] = np.einsum("kjpn,kjpn->pn", moved[:, r], moved[:, s])
    return cov


def _spread(cov: Floats, response: Floats) -> Floats:
    """`belief.cov` times the response, `d x m x P x D`."""
    return np.asarray(np.einsum("ijn,sjpn->ispn", cov, response))


def _gain(model: ProcessModel, at: int, first: int, v: Floats, states: Floats, after: Floats, ran: Floats) -> Floats:
    """Response of the deciding readings to each remaining setting, `m x q x P x D`."""
    slopes = model.tables.slopes
    q = len(model.tables.step_of) - first
    shape = q, after.shape[1], after.shape[3], after.shape[4]
    begin = int(np.searchsorted(slopes.place, first))
    values = slopes.values(v, begin)
    use = np.flatnonzero(values.any(axis=1))
    if not use.size or 0 in shape:
        return np.zeros(shape).transpose(1, 0, 2, 3)
    steps = slopes.step[begin + use] - at
    pulled = np.einsum("lripn,lin->lrpn", after[steps], slopes.weight[begin + use])
    pulled *= (values[use] * ran[steps])[:, None, :, None]
    c = slopes.coordinate[begin + use]
    joint = np.flatnonzero(c >= 0)
    if joint.size:
        pulled[joint] *= states[steps[joint], c[joint]][:, None]
    belongs = np.arange(q)[:, None] == slopes.place[begin + use] - first  # a product with it adds up each setting's own
    added: Floats = belongs.astype(np.float64) @ pulled.reshape(len(use), -1)
    return added.reshape(shape).transpose(1, 0, 2, 3)


def limits(model: ProcessModel) -> tuple[Floats, Floats]:
    """Lower and upper limit of every deciding reading, standardised; infinite where there is none."""
    names = list(model.process.measurements)
    each = []
    for name in model.process.conformance:
        reading = model.process.measurements[name][1]
        each.append(model.layout.limits(names.index(name), reading.lower, reading.upper))
    lower, upper = np.array(each).T
    return lower, upper


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
    from scipy.stats import qmc

    if dimensions not in _cache:
        _cache[dimensions] = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(5)).random(POINTS)
    return _cache[dimensions]
