"""What one machine of a step does that the others do not: a shift of the part, shrunk towards none.

A step's machines are looked at by what smoothing leaves of the step. Where the step is not read itself, most of a shift
is laid to the next step that is read: so much of it as a known shift moves what is left is asked of the smoother, and
undone (generalised least squares, one exact step where looks are normal). What machines add is then known to the
passes that follow, which learn the steps' chance without it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from process_opt.estimate import Data, Estimate

Floats = NDArray[np.float64]

FEWEST = 2
"""Machines of a step that the history must have seen, to say how far they differ."""
SURE = 4.0
"""Standard deviations by which they must differ more than by chance."""
ROUNDS = 2
"""Times that the shifts are looked for; after each, EM passes learn the steps' chance without them."""
PASSES = 3
EM_ROUNDS = 30
ASKED = 300
"""Parts of which the smoother is asked what a shift would leave."""
SHIFT = 0.1
"""How large that shift is, standardised; small, for looks at counts are not normal."""
LEAST_CHANCE = 1e-6
"""Of a step, beyond its machines, as a share of what it had with them."""
NONE: Floats = np.zeros((0, 0, 0))


@dataclass(frozen=True)
class Machines:
    """What is known of the machines."""

    shifts: Floats
    """`M x T x d`, standardised: what machine `m` of step `k` adds to the average of its machines. `M` is the most that
    any step has; empty where the history names none, or they do not differ."""
    unsure: Floats
    """`M x T x d`: variance of what is not known of it."""
    spread: Floats
    """`T x d`: variance that not knowing the machine adds to a step."""

    @property
    def surer(self) -> Floats:
        """`M x T x d`: how much less a step's chance is for parts of which it is known that this machine runs it; none
        for a machine that was never seen."""
        seen = self.shifts.any(axis=2, keepdims=True)
        return np.asarray(np.where(seen, np.maximum(self.spread - self.unsure, 0.0), 0.0))


NOTHING = Machines(NONE, NONE, np.zeros((0, 0)))


def learn_machines(estimate: Estimate, data: Data) -> Estimate:
    """The estimate with what machines add, and with the chance that its steps have beyond that."""
    from process_opt.em import em  # which needs the fit; who only advises does not

    if not (data.machine >= 0).any():
        return estimate
    for _ in range(ROUNDS):
        found = machine_shifts(estimate, data)
        if not found.shifts.size and not estimate.machines.size:
            return estimate
        estimate = em(replace(estimate, machines=found.shifts), data, passes=PASSES)
    return estimate


def machine_shifts(estimate: Estimate, data: Data) -> Machines:
    """What the machines add, all of it: `estimate` may say some already.

    Random effects `b_m ~ N(0, diag(t))` of each step, seen as means of what the smoother leaves, `R b_m + e`, `e ~ N(0,
    W / n_m)`; `t` by EM (Searle, Casella, McCulloch 1992, section 8.3), nothing where machines do not surely differ.
    """
    process, d = estimate.process, estimate.layout.d
    many = max((len(names) for _, names in process.machines.values()), default=0)
    shape = many, len(process.steps), d
    out = Machines(np.zeros(shape), np.zeros(shape), np.zeros(shape[1:]))
    left = _left(estimate, data)
    for row, (k, names) in zip(data.machine, process.machines.values(), strict=True):
        total, count, within = left[k].total, left[k].count, left[k].within()
        seen = count > 0
        if seen.sum() < FEWEST:
            continue
        shown = _shown(estimate, data, row, k)
        now = estimate.machines[: len(names), k] if estimate.machines.size else np.zeros((len(names), d))
        means = total / np.maximum(count, 1.0)[:, None] + now @ shown.T
        shifts, unsure = _random_effects(means, count, within, shown)
        share = count / count.sum()
        out.shifts[: len(names), k] = np.where(seen[:, None], shifts - share @ shifts, 0.0)
        out.unsure[: len(names), k] = unsure
        out.spread[k] = share @ (out.shifts[: len(names), k] ** 2 + unsure)
    return out if out.shifts.any() else NOTHING


@dataclass
class _Left:
    """What smoothing leaves of one step, summed by machine."""

    total: Floats
    """`m x d`"""
    count: Floats
    """`m`, parts."""
    square: Floats
    """`d x d`, of all."""

    def within(self) -> Floats:
        """`d x d`: the covariance of parts of the same machine."""
        between = (self.total / np.maximum(self.count, 1.0)[:, None]).T @ self.total
        free = max(self.count.sum() - (self.count > 0).sum(), 1.0)
        return np.asarray((self.square - between) / free + 1e-9 * np.eye(len(between)))


def _left(estimate: Estimate, data: Data) -> dict[int, _Left]:
    """For each step that names its machines."""
    from process_opt.estimate import usable

    d, machines = estimate.layout.d, estimate.process.machines.values()
    out = {k: _Left(np.zeros((len(names), d)), np.zeros(len(names)), np.zeros((d, d))) for k, names in machines}
    for part in data.chunks():
        path = estimate.path(part)
        for row, (k, _) in zip(part.machine, machines, strict=True):
            use = (usable(estimate, part, k) > 0) & (row >= 0)
            r = estimate.left_over(part, k, path.mean[k - 1] if k else path.start, path.mean[k])[:, use]
            np.add.at(out[k].total, row[use], r.T)
            np.add.at(out[k].count, row[use], 1.0)
            out[k].square += r @ r.T
    return out


def _shown(estimate: Estimate, data: Data, row: NDArray[np.int64], k: int) -> Floats:
    """`d x d`: what the smoother leaves at step `k`, on average, of a shift there of each characteristic.

    What is left of records that hold a shift which nobody knows of is the shift, less what knowing of it would change.
    """
    from process_opt.estimate import usable

    d = estimate.layout.d
    rows = np.flatnonzero((row >= 0) & (usable(estimate, data, k) > 0))
    few = data.rows(rows[:: max(1, rows.size // ASKED)][:ASKED])

    def left(shift: Floats) -> Floats:
        offsets = np.zeros((len(estimate.motions), d, few.size))
        offsets[k] = shift[:, None]
        path = estimate.path(few, offsets)
        each = estimate.left_over(few, k, path.mean[k - 1] if k else path.start, path.mean[k])
        return np.asarray(each.mean(axis=1))

    still = left(np.zeros(d))
    lost = np.array([left(SHIFT * one) - still for one in np.eye(d)]).T / SHIFT
    return np.asarray(np.eye(d) - lost)


def _random_effects(means: Floats, count: Floats, within: Floats, shown: Floats) -> tuple[Floats, Floats]:
    """Shifts of the machines and their variances (`many x d` each), from what is left of each on average."""
    d = len(within)
    told = shown.T @ np.linalg.inv(within)
    score = (count[:, None] * means) @ told.T
    information = np.diag(told @ shown)
    known = count > 0
    centred = score - count[:, None] * (score.sum(axis=0) / count.sum())
    z2 = centred[known] ** 2 / (count[known, None] * np.maximum(information, 1e-12))
    free = known.sum() - 1.0
    differ = (z2.sum(axis=0) / free - 1.0 > SURE * np.sqrt(2.0 / free)) & (information > 1e-9)
    shifts, unsure = np.zeros((len(count), d)), np.zeros((len(count), d))
    use = np.flatnonzero(differ)
    if not use.size:
        return shifts, unsure
    each = (told @ shown)[np.ix_(use, use)]
    t = np.maximum((centred[known][:, use] / (count[known, None] * np.diag(each))).var(axis=0), 1e-9)
    for _ in range(EM_ROUNDS):
        cov = np.linalg.inv(count[:, None, None] * each + np.diag(1.0 / t))
        b = np.einsum("mij,mj->mi", cov, centred[:, use])
        spread = np.diagonal(cov, axis1=1, axis2=2)
        t = np.maximum((b**2 + spread)[known].mean(axis=0), 1e-9)
    shifts[:, use], unsure[:, use] = b, spread
    return shifts, unsure


def without(noise: Floats, surer: Floats) -> Floats:
    """A step's chance (`d x d`) for parts whose machine is known: its variances less by `surer` (`d`)."""
    kept = np.sqrt(np.maximum(1.0 - surer / np.maximum(np.diag(noise), 1e-12), LEAST_CHANCE))
    return np.asarray(noise * kept[:, None] * kept[None, :])


def as_chance(estimate: Estimate, machines: Machines) -> Estimate:
    """The estimate of a part whose machines nobody knows: what they add is the chance of their steps."""
    if not machines.shifts.size:
        return replace(estimate, machines=NONE)
    motions = tuple(
        replace(m, noise=m.noise + np.diag(s)) for m, s in zip(estimate.motions, machines.spread, strict=True)
    )
    return replace(estimate, motions=motions, machines=NONE)
