"""What the parts of one batch have in common at a step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from process_opt.estimate import Data, Estimate
from process_opt.groups import group_shifts
from process_opt.machines import added

Floats = NDArray[np.float64]

KEPT = 500
"""Batches remembered, the latest ones."""
FEWEST = 5
"""Batches that a history must have, to say how far they differ."""


def batch_shifts(
    estimate: Estimate, data: Data, names: tuple[str, ...], machines: Floats
) -> tuple[tuple[str, ...], Floats]:
    """Names of the latest batches and their shifts `B x T x d`, standardised; beyond what their machines do.

    Args:
        names: of all batches.
        machines: what these add (`machines.machine_shifts`).
    """
    shifts, _ = group_shifts(
        estimate, data, lambda part, _: part.batch, len(names), fewest=FEWEST,
        known=(lambda part, k: added(machines, part, estimate.process, k)) if machines.size else None,
    )  # fmt: skip
    latest = np.full(len(names), -1)
    known = np.flatnonzero(data.batch >= 0)
    latest[data.batch[known]] = known
    order = np.argsort(latest)[-KEPT:]
    order = order[(latest[order] >= 0) & np.array([names[b] != "" for b in order], dtype=bool)]
    if not shifts.any():
        order = order[:0]
    return tuple(names[b] for b in order), shifts[order]
