"""Readings that are not Gaussian: counts (0, 1, 2, ...) and amounts (a total length: 0, or more).

A count `n` is seen because a hidden normal number `z` lies between `t(n - 1/2)` and `t(n + 1/2)`, and 0 because it lies
anywhere below `t(1/2)`: transformation and rounding (Kowal and Canale 2020, Electronic Journal of Statistics 14,
1744-1772). `t(n) = sqrt(n + 3/8)` makes the spread of a Poisson count the same whatever its size (Anscombe 1948). So
rare defects are as well described as frequent ones (every probability of a Poisson count of mean 0.05 to 30 to within
0.015), and the chance of "at most two" is that of `z < t(2.5)`, not of a bell curve cut at 2. An amount is likewise,
`t` being the root, with 0 for every `z` below nothing (Tobin 1958) and no rounding.

Beside a normal belief such a look gives a truncated normal; its mean and variance are kept (assumed density filtering:
Minka 2001), which is exact for one look and close for several.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtri

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NUMBER, COUNT, AMOUNT = "number", "count", "amount"
KINDS = (NUMBER, COUNT, AMOUNT)
SHIFT = 3 / 8
NARROW = 1e-3
"""Standard deviations: a cell as narrow as this has an even density."""
POINTS = 400
"""Quantiles over which an expected count is averaged: good to a hundredth of its spread."""
STEEPEST = 40.0
"""Log of the density at an end over the chance between: beyond, it is a matter of rounding."""
ROUNDS = 60
"""Of EM for the spread of what is hidden behind counts; where all are 0 it would go on for ever."""


def to_scale(kind: str, y: Floats) -> Floats:
    """Readings on the scale on which they are added up; a number stays what it is."""
    if kind == COUNT:
        return np.asarray(np.sqrt(np.maximum(y + SHIFT, 0.0)))
    return np.asarray(np.sqrt(np.maximum(y, 0.0))) if kind == AMOUNT else y


def between(kind: str, y: Floats) -> tuple[Floats, Floats]:
    """The ends of where the hidden number lies, for readings `y`; both the same where it is known exactly."""
    if kind == COUNT:
        low = np.where(y < 0.5, -np.inf, to_scale(COUNT, y - 0.5))
        return low, to_scale(COUNT, y + 0.5)
    exact = to_scale(kind, y)
    return (np.where(y <= 0, -np.inf, exact) if kind == AMOUNT else exact), exact


def limits_of(kind: str, lower: float, upper: float) -> tuple[float, float]:
    """Limits of a reading as limits of the hidden number: at most 2 means below the border between 2 and 3."""
    if kind == COUNT:
        low = -math.inf if lower <= 0 else math.sqrt(math.ceil(lower) - 0.5 + SHIFT)
        high = upper if math.isinf(upper) else -math.inf if upper < 0 else math.sqrt(math.floor(upper) + 0.5 + SHIFT)
        return low, high
    if kind == AMOUNT:
        high = upper if math.isinf(upper) else math.sqrt(max(upper, 0.0))
        return (-math.inf if lower <= 0 else math.sqrt(lower)), high
    return lower, upper


def from_scale(kind: str, z: Floats) -> Floats:
    """The reading that a hidden number gives."""
    if kind == COUNT:
        return np.asarray(np.floor(np.maximum(np.maximum(z, 0.0) ** 2 - SHIFT + 0.5, 0.0)))
    return np.asarray(np.maximum(z, 0.0) ** 2) if kind == AMOUNT else z


def expected(kind: str, mean: float, sd: float) -> float:
    """The mean reading where the hidden number is normal."""
    if kind == NUMBER:
        return mean
    return float(from_scale(kind, mean + sd * ndtri((np.arange(POINTS) + 0.5) / POINTS)).mean())


def hidden(kind: str, y: Floats) -> tuple[float, float]:
    """Mean and variance of the hidden number behind readings `y` (`N`, finite), by EM with two more parts of variance
    1/4, a Poisson count's."""
    low, high = between(kind, y)
    middle, variance = float(to_scale(kind, y).mean()), 0.25
    for _ in range(ROUNDS):
        sd = math.sqrt(variance)
        mean, left, _ = truncated((low - middle) / sd, (high - middle) / sd)
        z = middle + sd * mean
        middle = float(z.mean())
        variance = float((((z - middle) ** 2 + variance * left).sum() + 0.5) / (y.size + 2))
    return middle, variance


def truncated(a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
    """A standard normal number known to lie in `[a, b]`, `a <= b`: its mean, its variance, and the log of the chance of
    lying there (of the density, where `a = b`)."""
    flip = a + b > 0
    a, b = np.where(flip, -b, a), np.where(flip, -a, b)
    wide = b - a > NARROW
    middle = np.where(wide, 0.0, (np.where(wide, 0.0, a) + b) / 2)
    width = np.where(wide, 1.0, np.where(wide, 0.0, b - np.where(wide, 0.0, a)))
    left, right = np.where(wide, a, b - 1.0), b  # any cell will do where the other formula holds
    low, high = log_ndtr(left), log_ndtr(right)
    whole = high + np.log(-np.expm1(low - high))
    finite = np.isfinite(left)
    end = np.where(finite, left, 0.0)
    at_low = np.exp(np.where(finite, np.minimum(_log_density(end) - whole, STEEPEST), -np.inf))
    at_high = np.exp(np.minimum(_log_density(right) - whole, STEEPEST))
    mean = np.minimum(np.maximum(at_low - at_high, left), right)
    variance = np.clip(1 + end * at_low - right * at_high - mean**2, 1e-9, 1.0)
    exact = _log_density(middle) + np.where(width > 0, np.log(np.maximum(width, 1e-300)), 0.0)
    mean = np.where(wide, mean, middle)
    return (
        np.where(flip, -mean, mean),
        np.where(wide, variance, width**2 / 12),
        np.where(wide, whole, exact),
    )


def _log_density(z: Floats) -> Floats:
    return np.asarray(-(z**2) / 2 - 0.5 * math.log(2 * math.pi))


def look_between(
    m: Floats, p: Floats, c: int, low: Floats, high: Floats, noise: Floats | float, use: Bools
) -> tuple[Floats, Floats, Floats, tuple[Floats, Floats]]:
    """Take in that coordinate `c` plus the gauge's error lies between `low` and `high`.

    Args:
        m, p: mean `d x N` and covariance `d x d x N`; changed in place.
        low, high: `N`, standardised; the same where the reading is exact.
        noise: variance of the gauge's error.
        use: `N`, false where there is no look.

    Returns:
        `N` each: the error of what was expected (its root mean square over what the look leaves open, with its sign),
        the predicted variance, the log likelihood (0 where unused), and the normal look that would have said the same:
        its value and the variance of its error, infinite where nothing was learnt.
    """
    s = p[c, c] + noise
    sd = np.sqrt(s)
    ends = np.where(use, low, -1.0), np.where(use, high, 1.0)
    mean, left, told = truncated((ends[0] - m[c]) / sd, (ends[1] - m[c]) / sd)
    told = np.where(ends[0] == ends[1], told - np.log(sd), told)
    before_mean, before = m[c].copy(), p[c, c].copy()
    gain = np.where(use, p[:, c] / s, 0.0)
    m += gain * np.where(use, sd * mean, 0.0)
    p -= gain[:, None] * gain[None, :] * (s * (1.0 - left))
    after = np.maximum(p[c, c], 1e-12)
    learnt = use & (before - after > 1e-9 * before)
    share = np.where(learnt, 1.0 / after - 1.0 / before, 1.0)
    site = np.where(learnt, 1.0 / share, np.inf)
    value = np.where(learnt, (m[c] / after - before_mean / before) / share, 0.0)
    error = np.where(use, sd * np.sign(mean) * np.sqrt(mean**2 + left), np.nan)
    return error, s, np.where(use, told, 0.0), (value, site)


def gauge_error(
    x: Floats, p: Floats, site: tuple[Floats, Floats], ends: tuple[Floats, Floats], noise: float, use: Bools
) -> Floats:
    """`N`: the expected square of the gauge's error, where the coordinate is smoothed to `x` with variance `p`.

    The look's own share is taken off the belief (the cavity of expectation propagation) and what is hidden behind the
    reading is worked out from what is left.
    """
    value, variance = site
    told = np.where(np.isfinite(variance), 1.0 / np.maximum(variance, 1e-12), 0.0)
    rest = np.maximum(1.0 / np.maximum(p, 1e-12) - told, 1e-6)
    middle = (x / np.maximum(p, 1e-12) - told * value) / rest
    whole = 1.0 / rest + noise
    sd = np.sqrt(whole)
    low, high = np.where(use, ends[0], -1.0), np.where(use, ends[1], 1.0)
    mean, left, _ = truncated((low - middle) / sd, (high - middle) / sd)
    squared = (noise / whole) ** 2 * whole * (mean**2 + left) + noise / rest / whole
    return np.where(use, squared, 0.0)
