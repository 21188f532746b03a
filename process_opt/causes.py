"""Which earlier step made this part what it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.belief import standardised
from process_opt.model import ProcessModel
from process_opt.outlook import limits
from process_opt.smoother import Line, Records, smooth

Floats = NDArray[np.float64]

WORTH_NAMING = 0.05
"""Shares below this are noise; they are left out, so shares sum to at most 1."""


def causes(model: ProcessModel, observed: dict[str, float], at: int) -> tuple[list[dict[str, Any]], float]:
    """The steps before `at` by how much of the deviation to be expected at the end they made, largest first, and the
    share that the part came in with.

    Counterfactual: had the step moved the part as it does on average, at its nominal settings, how much of the expected
    deviation of the deciding readings from the middle of their limits would be gone, all else as it was?
    """
    process, layout = model.process, model.layout
    v, y = standardised(model, observed)
    for name, (k, _) in process.measurements.items():
        if k >= at:
            y[list(process.measurements).index(name)] = np.nan
    skipped = []
    for k, step in enumerate(process.steps):
        marks = np.concatenate([v[list(layout.levers[k])], y[[p for p, _ in layout.reads[k]]]])
        out = step.optional and (k >= at or not np.isfinite(marks).any())
        skipped.append(np.array([True]) if out else None)
    path = smooth(
        Line(model.motions[:at], layout.reads[:at], layout.levers[:at], model.gauge, model.start),
        Records(y[:, None], v[:, None], np.array([False]), skipped[:at], bounds=layout.bounds(y[:, None])),
    )
    deciding = [list(process.measurements).index(name) for name in process.conformance]
    lower, upper = limits(model)
    half = np.where(np.isfinite(upper - lower), (upper - lower) / 2, 1.0)
    response: Floats = np.zeros((len(deciding), layout.d))
    shares = np.zeros((at, len(deciding)))
    step_of = model.tables.step_of
    final = np.array([process.measurements[n][0] for n in process.conformance])
    for k in range(len(process.steps) - 1, -1, -1):
        for r, place in enumerate(deciding):
            if final[r] == k:
                response[r, layout.coordinate[place]] = 1.0
        if skipped[k] is not None:
            continue
        motion = model.motions[k]
        here = v[motion.acting(layout.levers[k])]
        here = np.where(np.isfinite(here), here, 0.0)
        before = None if k >= at else path.start if k == 0 else path.mean[k - 1]
        a, _ = motion.map(here[:, None], at=before)
        still: Floats = np.zeros((here.size, 1))
        for j, place in enumerate(motion.late, here.size - len(motion.late)):
            origin = step_of[place]
            if origin < at:  # what comes to light here is that step's doing
                still[j] = here[j]
                shares[origin] += response @ motion.weights[:, motion.terms.index(((j,), -1))] * here[j] / half
        if before is not None:
            extra = path.mean[k] - motion.move(still, before)
            shares[k] += response @ extra[:, 0] / half
        response = response @ a[:, :, 0]
    inborn = response @ (path.start[:, 0] - model.start[0]) / half
    total = shares.sum(axis=0) + inborn
    length = float(total @ total)
    if length < 1e-12 or at == 0:
        return [], 0.0
    part, came_in = np.maximum(shares @ total, 0.0), max(float(inborn @ total), 0.0)
    whole = max(float(part.sum()) + came_in, length)
    named = [
        {"step": process.steps[k].name, "share": round(float(part[k] / whole), 4)}
        for k in np.argsort(-part)
        if part[k] / whole >= WORTH_NAMING
    ]
    return named[:5], came_in / whole
