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
NONE: Floats = np.zeros((0, 0, 0))


def machine_shifts(estimate: Estimate, data: Data) -> tuple[Floats, Floats]:
    """`M x T x d`, standardised: what machine `m` of step `k` adds to the average of its machines, and how much less
    the step's chance is for parts of which it is known that this machine runs it (a variance).

    `M` is the most that any step has; both empty where the history names none, or they do not differ (`groups.py`).
    """
    from process_opt.groups import group_shifts  # which needs the fit; who only advises does not

    process = estimate.process
    many = max((len(names) for _, names in process.machines.values()), default=0)
    if not many or not (data.machine >= 0).any():
        return NONE, NONE
    shifts, surer = group_shifts(estimate, data, lambda part, k: machine_at(part, process, k), many, fewest=FEWEST)
    return (shifts, surer) if shifts.any() else (NONE, NONE)


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


def without(noise: Floats, surer: Floats) -> Floats:
    """A step's chance (`d x d`) for parts whose machine is known: its variances less by `surer` (`d`)."""
    kept = np.sqrt(1.0 - np.minimum(surer / np.maximum(np.diag(noise), 1e-12), MOST))
    return np.asarray(noise * kept[:, None] * kept[None, :])
