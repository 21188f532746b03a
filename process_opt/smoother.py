"""The way of each part through the steps, from all that is on record: Kalman filter forward, Rauch-Tung-Striebel back.

Exact where the steps are linear in the state (`state_space.py`); many parts at once, `N` on the last axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from process_opt.counted import look_between
from process_opt.state_space import (
    Bools,
    Floats,
    Habit,
    Motion,
    Seen,
    look,
    look_at_wish,
    predict,
    sandwich,
    solve_each,
    times,
)


@dataclass(frozen=True)
class Line:
    """What is believed of a line, or of its first `T` steps."""

    motions: Sequence[Motion]
    """For each step."""
    reads: tuple[tuple[tuple[int, int], ...], ...]
    levers: tuple[tuple[int, ...], ...]
    """Both as in `Layout`."""
    gauge: Floats
    """`M`, variance of each reading's error, standardised."""
    start: tuple[Floats, Floats]
    """Mean `d` and covariance `d x d` before the first step."""
    habits: Mapping[int, Habit] = field(default_factory=dict)
    """Of settings, by place; used of parts whose settings people chose."""
    unlogged: bool = True
    """People saw readings that are not on record; else none were taken there."""


@dataclass(frozen=True)
class Records:
    """What is on record of `N` parts."""

    y: Floats
    """`M x N` readings, standardised, NaN where not recorded."""
    v: Floats
    """`S x N` settings, as the readings."""
    people: Bools
    """`N`, settings were chosen by people who saw the part."""
    skipped: Sequence[Bools | None]
    """For each step, `N`: the (optional) step was not run; None: nobody skipped it."""
    offsets: Floats | None = None
    """`T x d x N` known shifts (batch, drift)."""
    bounds: Mapping[int, tuple[Floats, Floats]] = field(default_factory=dict)
    """For readings that are counts or amounts, as `Layout.bounds` gives them."""
    pressed: NDArray[np.int8] | None = None
    """`S x N`, -1 and 1 where people set a machine to its lower or upper limit; 0 or None: nowhere."""


@dataclass
class Path:
    """The smoothed way of `N` parts through `T` steps, with what estimation needs."""

    start: Floats
    """`d x N` mean before the first step."""
    start_cov: Floats
    """`d x d x N`"""
    mean: list[Floats]
    """After each step, `d x N`."""
    cov: list[Floats]
    cross: list[Floats]
    """Covariance of the state after a step with the state before it, `d x d x N`."""
    misfit: list[tuple[int, Floats, Floats]]
    """Place of a reading, its innovation and its predicted variance (`N`, NaN where there is none), as filtered."""
    bounds: Mapping[int, tuple[Floats, Floats]]
    """As they were given."""
    sites: dict[int, tuple[Floats, Floats]]
    """For counts and amounts, by place: the normal looks that would have said the same (`counted.py`)."""
    log_likelihood: float


def smooth(line: Line, records: Records) -> Path:
    """Filter forward, smooth backward."""
    forward = _Filter(line, records)
    for k in range(len(line.motions)):
        forward.hear_people(k)
        forward.move(k)
        forward.read(k)
    return forward.smoothed()


class _Filter:
    """The belief of each part while its records are gone through, and what the way back needs of it."""

    def __init__(self, line: Line, records: Records) -> None:
        self._line, self._records = line, records
        d, n = line.start[0].size, records.y.shape[1]
        self._m = np.repeat(line.start[0][:, None], n, axis=1)
        self._p = np.repeat(line.start[1][:, :, None], n, axis=2)
        self._seen = Seen.nothing(d, n)
        self._before: list[tuple[Floats, Floats]] = []
        self._after: list[tuple[Floats, Floats]] = []
        self._maps: list[Floats] = []
        self._likelihood = np.zeros(n)
        self._misfit: list[tuple[int, Floats, Floats]] = []
        self._sites: dict[int, tuple[Floats, Floats]] = {}

    def hear_people(self, k: int) -> None:
        """Settings that people chose tell what they saw."""
        records, levers = self._records, self._line.levers[k]
        for place, raw in zip(levers, records.v[list(levers)], strict=True):
            if (habit := self._line.habits.get(place)) is None:
                continue
            use = records.people & np.isfinite(raw)
            said, response, slack = self._seen.answered(habit)
            middle = said + (response * self._m).sum(axis=0)
            noise = habit.noise + slack
            if records.pressed is not None and (use & (records.pressed[place] != 0)).any():
                told = look_at_wish(self._m, self._p, response, middle, raw, records.pressed[place], noise, use)
            else:
                _, told = look(self._m, self._p, response, np.where(use, raw - middle, 0.0), noise, use)
            self._likelihood += told

    def move(self, k: int) -> None:
        """The step happens."""
        motion, records, d = self._line.motions[k], self._records, len(self._m)
        raw = records.v[motion.acting(self._line.levers[k])]
        known = np.isfinite(raw)
        clean = np.where(known, raw, 0.0)
        a, b = motion.map(clean, at=self._m)
        if not motion.joint:
            a = np.ascontiguousarray(a[:, :, :1])
        noise = motion.noise[:, :, None]
        if not known.all():
            noise = noise + motion.unsure(known, clean, self._m)
        if records.offsets is not None:
            b = b + records.offsets[k]
        self._before.append((self._m.copy(), self._p.copy()))
        m, p = predict(self._m, self._p, a, b, noise)
        if (stay := records.skipped[k]) is not None and stay.any():
            m = np.where(stay, self._m, m)
            p = np.where(stay, self._p + 1e-9 * np.eye(d)[:, :, None], p)
            a = np.where(stay, np.eye(d)[:, :, None], a)
        self._m, self._p = m, p
        self._maps.append(a)
        self._after.append((m.copy(), p.copy()))

    def read(self, k: int) -> None:
        """The readings that are taken after the step."""
        line, records = self._line, self._records
        for place, c in line.reads[k]:
            y = records.y[place]
            use = np.isfinite(y)
            if place in records.bounds:
                ends = records.bounds[place]
                innovation, s, told, site = look_between(self._m, self._p, c, *ends, line.gauge[place], use)
                self._sites[place] = site
            else:
                h = np.zeros(len(self._m))
                h[c] = 1.0
                innovation = np.where(use, y - self._m[c], np.nan)
                s, told = look(self._m, self._p, h, innovation, line.gauge[place], use)
            self._likelihood += told
            self._misfit.append((place, innovation, s))
            self._seen.read(c, y, float(line.gauge[place]), records.skipped[k], line.unlogged)

    def smoothed(self) -> Path:
        """The way back, after the last step."""
        means, covs, crosses = [self._m], [self._p], []
        for k in range(len(self._maps) - 1, -1, -1):
            (m0, p0), (m1, p1), step = self._before[k], self._after[k], self._maps[k]
            joint = step.shape[2] > 1
            ap = np.einsum("ijn,jkn->ikn", step, p0) if joint else np.tensordot(step[:, :, 0], p0, axes=1)
            gain = np.ascontiguousarray(solve_each(p1, np.asarray(ap)).transpose(1, 0, 2))  # J[n] = P0 A' P1^-1
            mean, cov = means[-1], covs[-1]
            crosses.append(times(cov, gain))
            means.append(m0 + np.einsum("ijn,jn->in", gain, mean - m1))
            covs.append(p0 + sandwich(gain, cov - p1))
        return Path(
            start=means[-1],
            start_cov=covs[-1],
            mean=means[-2::-1],
            cov=covs[-2::-1],
            cross=crosses[::-1],
            misfit=self._misfit,
            bounds=self._records.bounds,
            sites=self._sites,
            log_likelihood=float(self._likelihood.sum()),
        )
