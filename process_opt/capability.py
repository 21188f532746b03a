"""How capable a process is: Cp, Cpk, Pp, Ppk, rolled throughput yield, cost of poor quality, from its history."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.counted import NUMBER
from process_opt.history import History
from process_opt.process import Process

Floats = NDArray[np.float64]

D2 = 1.128379167
"""Mean range of two normal numbers in standard deviations, `2 / sqrt(pi)` (Montgomery 2013, appendix VI)."""
FEWEST = 10
"""Readings below which an index would be noise."""


def indices(values: Floats, lower: float, upper: float) -> dict[str, float | None]:
    """Capability of readings in the order of time (Montgomery 2013, sections 8.2 and 8.3).

    Args:
        values: `N`, finite.
        lower, upper: limits; infinite where there is none, and then the indices of one side.

    Returns:
        `cp`, `cpk` with the spread from part to part (mean moving range over `D2`), `pp`, `ppk` with the spread of all;
        None for `cp`, `pp` with one limit, for all with fewer than ten readings or no spread.
    """
    none: dict[str, float | None] = {"cp": None, "cpk": None, "pp": None, "ppk": None}
    if values.size < FEWEST:
        return none
    near, whole = float(np.abs(np.diff(values)).mean() / D2), float(values.std(ddof=1))
    if near <= 0 or whole <= 0:
        return none
    middle = float(values.mean())
    side = min(upper - middle, middle - lower)
    both = np.isfinite(upper - lower)
    return {
        "cp": (upper - lower) / (6 * near) if both else None,
        "cpk": side / (3 * near),
        "pp": (upper - lower) / (6 * whole) if both else None,
        "ppk": side / (3 * whole),
    }


def capability(process: Process, history: History) -> dict[str, Any]:
    """Of a history's parts.

    Returns:
        `readings`: for every reading with a limit its indices, `parts` read and `within`, the share inside the limits;
        `rolled_yield`: product over the steps of the share of parts whose readings there were all inside;
        `first_yield`: share of all parts finished with every deciding reading inside;
        `poor_quality`: money lost for each part against one finished within specification: scrapped, finished outside,
        or sent through optional steps.
    """
    readings: dict[str, Any] = {}
    rolled = 1.0
    inside = np.ones(history.readings.shape, dtype=bool)
    for j, (name, (_, m)) in enumerate(process.measurements.items()):
        known = np.isfinite(history.readings[:, j])
        if np.isinf(m.lower) and np.isinf(m.upper):
            continue
        y = history.readings[known, j]
        inside[known, j] = (y >= m.lower) & (y <= m.upper)
        values = y if m.kind == NUMBER else y[:0]  # the indices are those of a bell curve, which a count is not
        found = {n: None if v is None else round(v, 4) for n, v in indices(values, m.lower, m.upper).items()}
        within = round(float(inside[known, j].mean()), 6) if y.size else None
        readings[name] = {**found, "parts": int(y.size), "within": within}
    place = np.array([k for k, _ in process.measurements.values()], dtype=np.int64)
    for k in range(len(process.steps)):
        mine = place == k
        read = np.isfinite(history.readings[:, mine]).any(axis=1)
        if read.any():
            rolled *= float(inside[read][:, mine].all(axis=1).mean())
    deciding = [list(process.measurements).index(name) for name in process.conformance]
    seen = np.isfinite(history.readings[:, deciding]).all(axis=1) & ~history.scrapped
    good = seen & inside[:, deciding].all(axis=1)
    lost = history.scrapped * (process.value - process.scrap) + (seen & ~good) * (process.value - process.escape)
    names = list(process.settings)
    for step in process.steps:
        if step.optional:
            marks = [history.settings[:, names.index(s.name)] for s in step.settings]
            marks += [history.readings[:, list(process.measurements).index(m.name)] for m in step.measurements]
            run = np.isfinite(np.array(marks)).any(axis=0) if marks else np.zeros(history.size, dtype=bool)
            lost = lost + run * step.cost
    judged = seen | history.scrapped
    return {
        "readings": readings,
        "rolled_yield": round(rolled, 6),
        "first_yield": round(float(good[judged].mean()), 6) if judged.any() else None,
        "poor_quality": round(float(lost[judged].mean()), 4) if judged.any() else None,
    }
