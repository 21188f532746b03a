"""Minimising several small bounded problems at once, without a library that starts threads for matrices of ten rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LONGEST = 1.0
"""Most that one variable moves in one iteration; variables are standardised."""


def descend(
    loss: Callable[[Floats], tuple[Floats, Floats]],
    x: Floats,
    low: Floats,
    high: Floats,
    use: Bools,
    inverse: Floats,
    *,
    iterations: int,
    enough: float = 0.0,
) -> Floats:
    """Projected quasi-Newton steps (BFGS, Nocedal and Wright 2006, eq. 6.17) on `C` problems side by side.

    Args:
        loss: `C x Q` to the losses `C` and their gradients `C x Q`.
        x: `C x Q`, where to begin.
        low, high: `Q` or `C x Q`, bounds.
        use: `C x Q`, variables that may move.
        inverse: `C x Q x Q`, first guess of the inverse curvature, positive definite.
        enough: a problem whose next step promises to gain less than this has come to its end.

    Returns:
        The best `x` found for each.
    """
    x = np.clip(x, low, high)
    value, slope = loss(x)
    curve = inverse.copy()
    for _ in range(iterations):
        free = use & ~((x <= low) & (slope > 0)) & ~((x >= high) & (slope < 0))
        steep = np.where(free, slope, 0.0)
        way = -np.where(free, np.einsum("cij,cj->ci", curve, steep), 0.0)
        fall = (way * steep).sum(axis=1)
        way = np.where((fall < 0)[:, None], way, -1e-2 * steep)
        way *= np.minimum(1.0, LONGEST / np.maximum(np.abs(way).max(axis=1, initial=1e-12), 1e-12))[:, None]
        fall = (way * steep).sum(axis=1)
        accepted = -fall <= enough
        if accepted.all():
            break
        length: Floats = np.ones(len(x))
        new, new_value, new_slope = x, value, slope
        for _ in range(4):
            tried = np.clip(x + length[:, None] * way, low, high)
            tried_value, tried_slope = loss(tried)
            better = ~accepted & (tried_value <= value + 1e-4 * length * fall)
            new = np.where(better[:, None], tried, new)
            new_value = np.where(better, tried_value, new_value)
            new_slope = np.where(better[:, None], tried_slope, new_slope)
            accepted |= better
            if accepted.all():
                break
            length = np.where(accepted, length, 0.3 * length)
        s, y = new - x, np.where(free, new_slope - slope, 0.0)
        bend = (s * y).sum(axis=1)
        good = bend > 1e-9
        if good.any():
            rho = np.where(good, 1.0 / np.where(good, bend, 1.0), 0.0)
            pulled = np.einsum("cij,cj->ci", curve, y)
            both = s[:, :, None] * pulled[:, None, :]
            factor = rho * (1.0 + rho * (y * pulled).sum(axis=1))
            curve += factor[:, None, None] * s[:, :, None] * s[:, None, :]
            curve -= rho[:, None, None] * (both + both.transpose(0, 2, 1))
        settled = np.max(value - new_value, initial=0.0) < 1e-5
        x, value, slope = new, new_value, new_slope
        if settled:
            break
    return x
