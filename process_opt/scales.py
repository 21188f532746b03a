"""Columns of a history that are in another unit than they should be, wholly or on some rows.

What the history itself can contradict is looked for: limits, the machine's nominal value on dithered parts, the gauge's
error, the same characteristic read at other steps, and other rows of the same column. A column that is wrong by one
factor from its first row to its last, and that none of these speaks of, cannot be told from a right one: so a first or
last look that is ten times too large, a setting without dithered rows within its machine's limits, or a reading without
`gauge_sd`, limits and namesakes. Nor can fewer than `FEW` wrong rows of a setting (people may have chosen them), a
factor of ten on readings on both sides of nothing (the process may have been ten times as restless), or scattered rows
that the factor does not take `APART` times as far off as the others reach by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from process_opt.counted import COUNT, NUMBER
from process_opt.process import Measurement, Process
from qc.errors import InvalidInput

if TYPE_CHECKING:
    from process_opt.layout import Layout

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

FACTORS = (10.0, 25.4, 100.0, 1000.0, 1e6)
"""Between units that people confuse: mm and cm, inch and mm, cm and m or a share and per cent, mm and m or µm."""
RARE = 25.0
"""Smaller factors also come about by themselves: a wire drawn thinner, a process ten times as restless."""
UNIT_RATIO = 100.0
"""A column this many times larger than its limits is in another unit: honest readings stay within a few times them."""
FAR_SD = 300.0
"""A single reading this many robust standard deviations off the others is a slip of the unit or of the point."""
BEYOND_GAUGE = 900.0
"""Robust standard deviations of a gauge's error that a reading's own may hold: a thousand times too large is at least
a thousand, as it holds the gauge's."""
WITHIN_GAUGE = 0.3
"""Likewise at the least; honestly it is one, where the parts are all alike."""
FEW = 5
"""Rows from which on they have a scatter of their own; a column with fewer is not looked at."""
BLOCK = 20
"""Rows in a row from which on a shift in time is told; likewise at each of its ends, so that drift is none."""
APART = 2.0
"""How much further off than the furthest of the others scattered rows must lie: a tenth of a reading that scatters by a
fifth of itself comes about honestly among some thousand parts."""
ALIKE = 0.25
"""How far distributions may lie apart (Kolmogorov and Smirnov's distance) beside chance, once the factor is off."""

WIDER = 3.0
"""Likewise how many times as wide one may be as the other: what is ten times as large but held as closely is honest."""


def check_units(settings: Floats, readings: Floats, dithered: NDArray[np.bool_], process: Process, where: str) -> None:
    """Refuse columns and rows in another unit, as far as the history shows them (see above).

    Args:
        settings: `N x S`; readings: `N x M`; NaN where nothing was recorded.
        dithered: `N`: settings were nominal plus a random offset.
        where: the file, for messages.

    Raises:
        InvalidInput: names the column, the rows and, where it is a usual one, the factor.
    """
    for j, (name, (_, setting)) in enumerate(process.settings.items()):
        _check_nominal(name, settings[dithered, j], setting.nominal, where)
        _check_rows(name, settings[:, j], where, chosen=True)
    for j, (name, (_, m)) in enumerate(process.measurements.items()):
        known = np.flatnonzero(np.isfinite(readings[:, j]))
        if known.size < FEW or m.kind == COUNT:  # a count has no unit
            continue
        values = readings[known, j]
        _check_limits(name, values, m, where)
        if m.kind == NUMBER:
            _check_rows(name, readings[:, j], where)
            _check_gauge(name, values, m, where)
        _check_far(name, values, known, where)
    _check_namesakes(readings, process, where)


def check_credible(observed: Mapping[str, float], layout: Layout, process: Process, part: str) -> None:
    """Refuse a reading of one part that the history would have been refused for; raises InvalidInput naming it."""
    y = layout.readings(np.array([observed.get(name, np.nan) for name in process.measurements]))
    for i, name in enumerate(process.measurements):
        if i not in layout.counted and abs(y[i]) > FAR_SD:
            raise InvalidInput(
                f"part {part}: {name} = {observed[name]:g} lies {abs(y[i]):.4g} standard deviations from what the "
                f"history holds (mean {layout.mean[i]:g}); another unit, or a slip of the point?"
            )


def times(ratio: float, within: float = 0.15) -> float | None:
    """The usual factor that `ratio` is, or one over it, up to a share of `within`; None: it is none."""
    if not (ratio > 0 and math.isfinite(ratio)):
        return None
    near = min(FACTORS, key=lambda f: abs(abs(math.log(ratio)) - math.log(f)))
    if abs(abs(math.log(ratio)) - math.log(near)) > within:
        return None
    return near if ratio > 1 else 1 / near


def said(factor: float) -> str:
    """As people say it."""
    return f"{factor:g} times" if factor > 1 else f"1/{1 / factor:g} of"


def robust_sd(values: Floats) -> float:
    """Robust standard deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _check_nominal(name: str, values: Floats, nominal: float, where: str) -> None:
    values = values[np.isfinite(values)]
    if values.size < BLOCK or nominal == 0:
        return
    middle = float(np.median(values))
    factor = times(middle / nominal)
    if factor is not None and abs(middle - nominal) > 3 * robust_sd(values):
        raise InvalidInput(
            f"{where}: {name} is typically {middle:g} on dithered parts, {said(factor)} its nominal {nominal:g}; "
            f"the column seems to be in another unit"
        )


def _check_limits(name: str, values: Floats, m: Measurement, where: str) -> None:
    limits = [v for v in (m.lower, m.upper) if math.isfinite(v)]
    if not limits:
        return
    typical, scale = float(np.median(np.abs(values))), max(abs(v) for v in limits)
    far = typical > UNIT_RATIO * scale > 0
    factor = None
    if len(limits) == 2 and m.lower > 0:
        half = (m.upper - m.lower) / 2
        far = far or typical < m.lower / UNIT_RATIO
        if typical > 3 * m.upper or typical < m.lower / 3:
            fits = [g for f in FACTORS for g in (f, 1 / f) if m.lower - half <= typical / g <= m.upper + half]
            factor = min(fits, key=lambda g: abs(typical / g - m.lower - half), default=None)
    elif typical > RARE * 0.8 * scale > 0:
        factor = next((f for f in FACTORS if f >= RARE and typical / f <= scale), None)
    if far or factor is not None:
        what = f", as if {said(factor)} what it should be" if factor is not None else ""
        raise InvalidInput(
            f"{where}: {name} is typically {typical:g} but its limits are {' to '.join(f'{v:g}' for v in limits)}"
            f"{what}; the column seems to be in another unit"
        )


def _check_gauge(name: str, values: Floats, m: Measurement, where: str) -> None:
    spread = robust_sd(values)
    if m.gauge_sd is None or m.gauge_sd <= 0 or spread == 0 or values.size < BLOCK:  # a few lie close by chance
        return
    if not WITHIN_GAUGE < spread / m.gauge_sd < BEYOND_GAUGE:
        raise InvalidInput(
            f"{where}: {name} varies by a standard deviation of {spread:.3g}, but its gauge alone errs by "
            f"{m.gauge_sd:g}; the column, or gauge_sd in the process, seems to be in another unit"
        )


def _check_far(name: str, values: Floats, known: Rows, where: str) -> None:
    middle, spread = float(np.median(values)), robust_sd(values)
    if spread == 0:
        return
    off = np.abs(values - middle) / spread
    worst = int(np.argmax(off))
    if off[worst] > FAR_SD:
        raise InvalidInput(
            f"{where} row {known[worst] + 2}: {name} = {values[worst]:g} lies {off[worst]:.4g} standard deviations "
            f"from the other parts (median {middle:g}); another unit, or a slip of the point?"
        )


def _check_rows(name: str, column: Floats, where: str, *, chosen: bool = False) -> None:
    """Rows of a column on another scale than its other rows; `chosen`: people set it, so that few rows are no slip."""
    known = np.flatnonzero(np.isfinite(column) & (column != 0))
    size = np.abs(column[known])
    if known.size < 2 * FEW or size.max() < 3 * size.min():
        return
    found = _by_gap(column[known], chosen) or _by_time(column[known])
    if found is None:
        return
    off, factor = found
    rows = known[off]
    middle, usual = float(np.median(column[rows])), float(np.median(column[np.delete(known, off)]))
    raise InvalidInput(
        f"{where} {told_rows(rows)}: {name} is typically {middle:g}, {said(factor)} the {usual:g} of the other rows; "
        f"one of the two is in another unit"
    )


def told_rows(rows: Rows) -> str:
    """Rows as people count them in the file."""
    first, last = rows[0] + 2, rows[-1] + 2
    if rows.size == 1:
        return f"row {first}"
    return f"rows {first} to {last}" if last - first < 1.1 * rows.size else f"{rows.size} rows from row {first} on"


def _by_gap(values: Floats, chosen: bool) -> tuple[Rows, float] | None:
    """Rows that the widest gap between sizes parts from the others."""
    x = np.log(np.abs(values))
    order = np.argsort(x, kind="stable")
    gaps = np.diff(x[order])
    at = int(np.argmax(gaps)) + 1
    low, high = order[:at], order[at:]
    off, rest = (low, high) if low.size < high.size else (high, low)
    least = FEW if chosen else 1
    if off.size < least or rest.size < FEW or robust_sd(values[rest]) == 0:
        return None
    inner = float(np.ptp(np.quantile(x[rest], [0.01, 0.99])))
    few = 0.0 if off.size >= FEW else inner / 2
    factor = times(math.exp(float(np.median(x[off]) - np.median(x[rest]))), min(0.05 + few, 0.3))
    middle = float(np.median(values[rest]))
    away, usual = np.abs(values[off] - middle).min(), np.abs(values[rest] - middle).max()
    if factor is None or away < APART * usual or (np.sign(values[off]) != np.sign(middle)).any():
        return None
    far = abs(math.log(factor))
    if gaps[at - 1] < far / 4 or inner > far / 2 or not _alike(values[off] / factor, values[rest]):
        return None
    return np.sort(off), factor


def _by_time(values: Floats) -> tuple[Rows, float] | None:
    """A stretch of rows, at an end or in the middle, on another scale from its first row to its last."""
    x = np.log(np.abs(values))
    walk = np.concatenate([[0.0], np.cumsum(x - x.mean())])
    first, last = sorted((int(np.argmin(walk)), int(np.argmax(walk))))
    inside = np.zeros(x.size, dtype=bool)
    inside[first:last] = True
    if min(inside.sum(), (~inside).sum()) < BLOCK:
        return None
    off = np.flatnonzero(inside if 2 * inside.sum() <= x.size else ~inside)
    rest = np.delete(np.arange(x.size), off)
    factor = times(math.exp(float(np.median(x[off]) - np.median(x[rest]))))
    if factor is None:
        return None
    both_sides = 0.02 < float((values > 0).mean()) < 0.98
    if both_sides and max(factor, 1 / factor) < RARE:
        return None
    for edge in (first, last):
        before, after = x[max(edge - BLOCK, 0) : edge], x[edge : edge + BLOCK]
        if min(before.size, after.size) == BLOCK and abs(np.median(before) - np.median(after)) < 0.7 * abs(
            math.log(factor)
        ):
            return None
    return (off, factor) if _alike(values[off] / factor, values[rest]) else None


def _alike(one: Floats, other: Floats) -> bool:
    """Do two samples lie in the same place, as widely? Fewer than `FEW` are not asked."""
    if min(one.size, other.size) < FEW:
        return True
    every = np.concatenate([one, other])
    one, other = np.sort(one), np.sort(other)
    apart = np.abs(
        np.searchsorted(one, every, "right") / one.size - np.searchsorted(other, every, "right") / other.size
    )
    chance = 1.63 * math.sqrt(1 / one.size + 1 / other.size)
    wide = robust_sd(one) / max(robust_sd(other), 1e-300)
    return 1 / WIDER < wide < WIDER and float(apart.max()) < ALIKE + chance


def _check_namesakes(readings: Floats, process: Process, where: str) -> None:
    """One look at a characteristic that is on another scale than the looks at other steps, in the same unit."""
    groups = dict[tuple[str, str], list[tuple[str, float, float]]]()
    for j, (name, (_, m)) in enumerate(process.measurements.items()):
        values = readings[np.isfinite(readings[:, j]), j]
        if values.size >= FEW and m.kind == NUMBER:
            typical = float(np.median(np.abs(values)))
            groups.setdefault((name.split(".", 1)[1], m.unit), []).append((name, typical, robust_sd(values)))
    for same in groups.values():
        for i, (name, typical, spread) in enumerate(same):
            beside = [same[k] for k in (i - 1, i + 1) if 0 <= k < len(same)]
            between = len(beside) == 2
            others = beside if between else [s for k, s in enumerate(same) if k != i]
            sizes = [t for _, t, _ in others]
            if not sizes or min(sizes) <= 0 or max(sizes) > 1.5 * min(sizes):
                continue
            factor = times(typical / float(np.median(sizes)), 0.2)
            wide = float(np.median([s for _, _, s in others]))
            far = len(same) > 2 and typical > 3 * UNIT_RATIO * max(sizes)
            if far:
                raise InvalidInput(
                    f"{where}: {name} is typically {typical:g} where other steps read {float(np.median(sizes)):g}; "
                    f"the column seems to be in another unit"
                )
            if factor is None or not (between or max(factor, 1 / factor) > RARE) or wide == 0:
                continue
            if factor / 3 < spread / wide < 3 * factor:
                raise InvalidInput(
                    f"{where}: {name} is typically {typical:g}, {said(factor)} the {float(np.median(sizes)):g} of "
                    f"{', '.join(n for n, _, _ in others[:3])}; the column seems to be in another unit"
                )
