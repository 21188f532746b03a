"""Readings that come in steps: a gauge that shows whole divisions, or people who write down half millimetres.

A reading of 12.1 in steps of 0.1 says that something between 12.05 and 12.15 was there. So the chance of "at most 12.1"
is that of lying below 12.15, and of "at most 12.12" the same: what is written down is judged by its limits. Elsewhere
the step is a further error of the gauge, of a twelfth of its square (Sheppard 1898).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

OFTEN = 4
"""Times that a value comes up on average, from which on it is asked whether all lie in even steps: where the spread
of the parts holds hundreds of steps, they do not matter."""
SAME = 1e-9
"""Share of the range of a reading within which two values differ by the way numbers are kept alone."""
EVEN = 1e-3
"""Share of a step by which a value may lie beside it."""


def rounding_of(values: Floats) -> tuple[float, float]:
    """The step in which readings come, and the least value above nothing that they could come to; a step of 0 where
    they come in none.

    Args:
        values: of one reading, in its unit; NaN where it was not taken.
    """
    known = np.sort(values[np.isfinite(values)])
    if known.size == 0 or known[0] == known[-1]:
        return 0.0, 0.0
    different = known[np.concatenate([[True], np.diff(known) > SAME * (known[-1] - known[0])])]
    gaps = np.diff(different)
    if known.size < OFTEN * different.size or gaps.size < 2:
        return 0.0, 0.0
    step = float(gaps.min())
    step = float((different[-1] - different[0]) / np.round((different[-1] - different[0]) / step))
    places = (different - different[0]) / step
    if np.abs(places - np.round(places)).max() > EVEN:
        return 0.0, 0.0
    return step, float(different[0] % step)


def limits_between(lower: float, upper: float, step: float, value: float) -> tuple[float, float]:
    """What lies behind a reading between its limits, where readings come in steps; the limits themselves where they
    come in none (a step of 0).

    Args:
        value: one that readings come to.
    """
    if step == 0.0:
        return lower, upper
    first, last = np.ceil((lower - value) / step - EVEN), np.floor((upper - value) / step + EVEN)
    return float(value + (first - 0.5) * step), float(value + (last + 0.5) * step)


def gauge_with(variance: float, step: float) -> float:
    """The variance of a gauge's error with that of its steps, in units squared.

    Args:
        variance: as it was said; less than the steps alone make, it cannot hold them.
    """
    steps = step**2 / 12
    return variance + steps if variance < steps else variance
