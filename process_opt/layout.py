"""From the names of a process to coordinates: which reading looks at which characteristic of the part,
on what scale."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from process_opt.counted import NUMBER, between, hidden, limits_of, to_scale
from process_opt.history import History
from process_opt.law import Law, laws, levels
from process_opt.process import Process
from process_opt.rounding import limits_between, rounding_of

Floats = NDArray[np.float64]

NO_ROUNDING: Floats = np.zeros((0, 2))
"""No reading comes in steps."""


@dataclass(frozen=True)
class Layout:
    """`d` coordinates, one for each characteristic: readings of the same name at different steps look at the same one.

    All numbers of the model are standardised: a reading as `(y - mean) / scale`, a setting as `(u - nominal) /
    stretch`. Counts and amounts are put on their own scale first (`counted.py`); `mean` and `scale` are on that.
    """

    coordinates: tuple[str, ...]
    reads: tuple[tuple[tuple[int, int], ...], ...]
    """For each step: (place of the reading, coordinate) of what it measures, as far as the history ever held it."""
    levers: tuple[tuple[int, ...], ...]
    """For each step: places of its settings."""
    mean: Floats
    """`M`: of each reading, in its unit; NaN of one that the history never held, as nobody knows where it lies."""
    scale: Floats
    """`d`: of each coordinate, in its unit."""
    nominal: Floats
    """`S`, in units."""
    stretch: Floats
    """`S`: one standard deviation of the setting where it was dithered, in its unit."""
    coordinate: NDArray[np.int64]
    """`M`: the coordinate of each reading."""
    kinds: tuple[str, ...] = ()
    """Of each reading: number, count or amount; empty: all are numbers."""
    rounding: Floats = field(default_factory=lambda: NO_ROUNDING)
    """`M x 2`: the step in which each reading comes, or 0, and a value that it could come to, in its unit
    (`rounding.py`); empty: none comes in steps."""

    @property
    def d(self) -> int:
        """How many coordinates a part's state has."""
        return len(self.coordinates)

    def laws(self, process: Process) -> list[Law | None]:
        """Every step's formula in these numbers, or None."""
        stretch = dict(zip(process.settings, self.stretch.tolist(), strict=True))
        return laws(process, self.mean, self.scale, stretch)

    def readings(self, y: Floats) -> Floats:
        """`N x M` readings (or `M`), standardised; NaN where the history never held any."""
        for i, kind in enumerate(self.kinds):
            if kind != NUMBER:
                y = y.copy() if i == self.counted[0] else y
                y[..., i] = to_scale(kind, y[..., i])
        return (y - self.mean) / self.scale[self.coordinate]

    @property
    def counted(self) -> tuple[int, ...]:
        """Places of the readings that are counts or amounts."""
        return tuple(i for i, kind in enumerate(self.kinds) if kind != NUMBER)

    def bounds(self, y: Floats) -> dict[int, tuple[Floats, Floats]]:
        """Between what the hidden numbers behind counts and amounts lie, standardised, by place of the reading.

        Args:
            y: `M x N` readings (or `M`), standardised.
        """
        out = {}
        for i in self.counted:
            scale = self.scale[self.coordinate[i]]
            z = y[i] * scale + self.mean[i]
            raw = z * z - (0.375 if self.kinds[i] == "count" else 0.0)
            raw = np.where(np.abs(raw) < 1e-9, 0.0, raw)
            low, high = between(self.kinds[i], raw)
            out[i] = (low - self.mean[i]) / scale, (high - self.mean[i]) / scale
        return out

    def step(self, place: int) -> float:
        """In which a reading comes, in its unit; 0 where it comes in none."""
        return float(self.rounding[place, 0]) if self.rounding.size else 0.0

    def limits(self, place: int, lower: float, upper: float) -> tuple[float, float]:
        """The limits of what lies behind a reading, standardised, from those of the reading in its unit."""
        if self.counted and self.kinds[place] != NUMBER:
            lower, upper = limits_of(self.kinds[place], lower, upper)
        elif self.rounding.size:
            lower, upper = limits_between(lower, upper, *self.rounding[place])
        mean, scale = self.mean[place], self.scale[self.coordinate[place]]
        return float((lower - mean) / scale), float((upper - mean) / scale)

    def settings(self, u: Floats) -> Floats:
        """`N x S` settings, standardised."""
        return (u - self.nominal) / self.stretch


def lay_out(process: Process, history: History) -> Layout:
    """The coordinates of a process, with scales from its history."""
    names: list[str] = []
    coordinate = []
    for name in process.measurements:
        short = name.split(".", 1)[1]
        if short not in names:
            names.append(short)
        coordinate.append(names.index(short))
    place = np.array(coordinate, dtype=np.int64)
    y = history.readings
    known = np.isfinite(y)
    kinds = kinds_of(process)
    count = known.sum(axis=0)
    filled = np.where(known, y, 0.0)
    mean = np.where(count > 0, filled.sum(axis=0) / np.maximum(count, 1), np.nan)
    variance = (np.where(known, y - mean, 0.0) ** 2).sum(axis=0) / np.maximum(count - 1, 1)
    for i, kind in enumerate(kinds):
        if kind != NUMBER:
            mean[i], variance[i] = hidden(kind, y[known[:, i], i]) if count[i] else (np.nan, 0.25)
    scale = np.ones(len(names))
    for c in range(len(names)):
        mine = (place == c) & (count > 1) & (variance > 0)
        if mine.any():
            scale[c] = np.sqrt(np.median(variance[mine]))
    nominal = np.array([s.nominal for _, s in process.settings.values()])
    stretch = np.ones(len(nominal))
    for j, (_, s) in enumerate(process.settings.values()):
        off = history.settings[:, j] - s.nominal
        rows = np.isfinite(off)
        if (rows & history.dithered).sum() > 20:  # away from nominal: of one that acts one way, to one side alone
            rows &= history.dithered
            spread = float(np.sqrt(np.mean(off[rows] ** 2)))
        else:
            spread = float(np.std(off[rows])) if rows.sum() > 2 else 0.0
        half = max((s.high - s.low) / 2, 1e-9)
        stretch[j] = spread if spread > 1e-6 * half else half
    if any(step.formula is not None for step in process.steps):
        usual = levels(process, mean)
        for i, (k, _) in enumerate(process.measurements.values()):
            if process.steps[k].optional and count[i]:  # where it is not run a part's state must mean the same after it
                mean[i] = usual[k, place[i]]
    levers = {name: i for i, name in enumerate(process.settings)}
    return Layout(
        coordinates=tuple(names),
        reads=reads_of(process, place, mean),
        levers=tuple(tuple(levers[s.name] for s in step.settings) for step in process.steps),
        mean=mean,
        scale=scale,
        nominal=nominal,
        stretch=stretch,
        coordinate=place,
        kinds=kinds,
        rounding=roundings(process, history),
    )


def roundings(process: Process, history: History) -> Floats:
    """As in `Layout`; counts and amounts have borders of their own."""
    each = [
        rounding_of(history.readings[:, i]) if m.kind == NUMBER else (0.0, 0.0)
        for i, (_, m) in enumerate(process.measurements.values())
    ]
    return np.array(each) if any(step for step, _ in each) else NO_ROUNDING


def reads_of(process: Process, coordinate: NDArray[np.int64], mean: Floats) -> tuple[tuple[tuple[int, int], ...], ...]:
    """As in `Layout`, from the coordinate and the mean of each reading."""
    places = {name: i for i, name in enumerate(process.measurements)}
    known = np.isfinite(mean)
    return tuple(
        tuple((i, int(coordinate[i])) for m in step.measurements if known[i := places[m.name]])
        for step in process.steps
    )


def kinds_of(process: Process) -> tuple[str, ...]:
    """Of each reading, number, count or amount; empty where all are numbers."""
    kinds = tuple(m.kind for _, m in process.measurements.values())
    return kinds if any(kind != NUMBER for kind in kinds) else ()
