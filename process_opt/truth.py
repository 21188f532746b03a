"""The true chance of a part on an imaginary line, given what was read of it: what promises are held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from process_opt.simulate import Line

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fate:
    """Where a part will end under given settings, by the line's true parameters."""

    chance: float
    """That it conforms."""
    mean: Floats
    """Of the deciding readings, in units."""
    sd: Floats
    """Likewise, with the gauge's error."""


def is_exact(line: Line) -> bool:
    """Is the line linear in the state (given the settings) and normal, and is all that decides read at its end?"""
    last = {m.name for m in line.process.steps[-1].measurements}
    if any(t.fault is not None for t in line.truths) or not last.issuperset(line.process.conformance):
        return False
    rng = np.random.default_rng(3)
    for step, truth in zip(line.process.steps, line.truths, strict=True):
        if step.optional:
            return False
        a, b = rng.standard_normal((2, 1, line.centre.size))
        v = 0.5 * rng.standard_normal((1, len(step.settings)))
        middle = (truth.move(a, v) + truth.move(b, v)) / 2
        if not np.allclose(truth.move((a + b) / 2, v), middle, atol=1e-9):
            return False
    return True


def true_fate(line: Line, observed: Mapping[str, float], at: int, settings: Mapping[str, float]) -> Fate:
    """The fate of a part of a new batch before step `at`, exact where `is_exact`: a Kalman filter over the true steps.

    Args:
        observed: settings and readings of earlier steps, in units; what is missing was nominal, or was not read.
        settings: of the steps from `at` on; what is not named stays nominal.
    """
    d = line.centre.size
    x, p = np.zeros(d), np.diag(line.start_variance)
    for k, (step, truth) in enumerate(zip(line.process.steps, line.truths, strict=True)):
        chosen = observed if k < at else settings
        here = {s.name: chosen[s.name] for s in step.settings if s.name in chosen}
        v = np.repeat(np.clip(line.settings_from_units(k, here), -1, 1)[None, :], d + 1, axis=0)
        ways = truth.move(np.vstack([x, x + np.eye(d)]), v)
        a = (ways[1:] - ways[0]).T
        x = ways[0] + (line.drift if k % 5 == 0 else 0.0)
        p = a @ p @ a.T + np.diag(truth.noise**2 + line.batch_sd**2)
        for m, c, gauge in zip(step.measurements, truth.reads, truth.gauge, strict=True):
            if k < at and np.isfinite(y := observed.get(m.name, np.nan)):
                gain = p[:, c] / (p[c, c] + gauge**2)
                x = x + gain * ((y - line.centre[c]) / line.unit[c] - x[c])
                p = p - np.outer(gain, p[c])
    truth = line.truths[-1]
    limits = {
        m.name: (m.lower, m.upper, c) for m, c in zip(line.process.steps[-1].measurements, truth.reads, strict=True)
    }
    low, high, place = (np.array(column) for column in zip(*(limits[n] for n in line.process.conformance), strict=True))
    cs = place.astype(np.int64)
    error = np.array([truth.gauge[truth.reads.index(c)] for c in cs])
    cov = p[np.ix_(cs, cs)] + np.diag(error**2)
    unit, centre = line.unit[cs], line.centre[cs]
    at_end = multivariate_normal(x[cs], cov, seed=1)
    chance = at_end.cdf((high - centre) / unit, lower_limit=(low - centre) / unit)
    return Fate(float(chance), centre + unit * x[cs], unit * np.sqrt(np.diag(cov)))
