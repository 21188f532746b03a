"""What one machine of a step does that the others do not: a shift of the part, shrunk towards none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from process_opt.estimate import Data, Estimate
    from process_opt.process import Process

Floats = NDArray[np.float64]

FEWEST = 2
"""Machines of a step that the history must have seen, to say how far they differ."""
MOST = 0.9
"""Share of a step's chance that may be due to its machines: the rest is never certain."""


def machine_shifts(estimate: Estimate, data: Data) -> Floats:
    """`M x T x d`, standardised: what machine `m` of step `k` adds to the average of its machines.

    `M` is the most that any step has; empty where the history names none, or they do not differ (`groups.py`).
    """
    from process_opt.groups import group_shifts  # which needs the fit; who only advises does not

    process = estimate.process
    many = max((len(names) for _, names in process.machines.values()), default=0)
    if not many or not (data.machine >= 0).any():
        return np.zeros((0, 0, 0))
    shifts = group_shifts(estimate, data, lambda part, k: machine_at(part, process, k), many, fewest=FEWEST)
    return shifts if shifts.any() else np.zeros((0, 0, 0))


def machine_at(data: Data, process: Process, k: int) -> NDArray[np.int64]:
    """`N`: which of the machines of step `k` ran each part; -1 where nobody says."""
    for row, (step, _) in zip(data.machine, process.machines.values(), strict=True):
        if step == k:
            return np.asarray(row)
    return np.full(data.size, -1, dtype=np.int64)


def added(shifts: Floats, data: Data, process: Process, k: int) -> Floats:
    """`d x N`: what the machines of step `k` added to these parts."""
    ran = machine_at(data, process, k)
    return np.asarray(np.where(ran >= 0, shifts[ran, k].T, 0.0))


def spread_of(shifts: Floats, data: Data, process: Process) -> Floats:
    """`T x d`: the variance among parts that comes from which machine ran them."""
    out = np.zeros(shifts.shape[1:])
    for k in range(len(process.steps)):
        ran = machine_at(data, process, k)
        if (ran >= 0).any():
            out[k] = shifts[ran[ran >= 0], k].var(axis=0)
    return out


def without(noise: Floats, spread: Floats) -> Floats:
    """A step's chance (`d x d`) for parts whose machine is known: less by what the machines make (`d`)."""
    kept = np.sqrt(1.0 - np.minimum(spread / np.maximum(np.diag(noise), 1e-12), MOST))
    return np.asarray(noise * kept[:, None] * kept[None, :])
