"""Two readings of one step written down in each other's place: a length in the column of the angle.

On some rows: where both lie far from what their own columns hold and right where the other's do. From the first row to
the last: where both do so beside the same characteristics at other steps, or beside their limits. Characteristics that
lie so close to each other that either would pass for the other cannot be told apart by their numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from process_opt.counted import NUMBER
from process_opt.process import Measurement, Process
from process_opt.scales import robust_sd, told_rows
from qc.errors import InvalidInput

if TYPE_CHECKING:
    from process_opt.layout import Layout

Floats = NDArray[np.float64]

STRANGE, USUAL = 8.0, 4.0
"""Robust standard deviations: both readings lie further from their own columns than the one, and nearer to the other's
than the other. An honest part is rarely eight off in one thing, and then not just where something else belongs."""
FEWEST = 20
"""Parts from which on a column has a middle and a spread."""
LOOKED_AT = 20_000
"""Parts, or up to twice as many, that middles and spreads are worked out from."""


def check_swapped(readings: Floats, process: Process, where: str) -> None:
    """Refuse a history in which two readings of a step stand in each other's place.

    Args:
        readings: `N x M`, NaN where nothing was recorded.
        where: the file, for messages.

    Raises:
        InvalidInput: names the two and, where it is not all of them, the rows.
    """
    names = list(process.measurements)
    middle, spread = np.full(len(names), np.nan), np.full(len(names), np.nan)
    strange: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)] * len(names)
    some = readings[:: max(1, len(readings) // LOOKED_AT)]
    for j, (_, m) in enumerate(process.measurements.values()):
        values = some[np.isfinite(some[:, j]), j]
        if m.kind == NUMBER and values.size >= FEWEST and (sd := robust_sd(values)) > 0:
            middle[j], spread[j] = float(np.median(values)), sd
            strange[j] = np.flatnonzero(np.abs(readings[:, j] - middle[j]) > STRANGE * sd)
    for a, b in _pairs(process):
        if not np.isfinite(middle[[a, b]]).all():
            continue
        _check_columns(a, b, middle, spread, process, where)
        both = np.intersect1d(strange[a], strange[b], assume_unique=True)
        of_them = _in_each_others_place(readings[both, a], readings[both, b], middle[[a, b]], spread[[a, b]])
        if (rows := both[of_them]).size:
            raise InvalidInput(
                f"{where} {told_rows(rows)}: {names[a]} and {names[b]} seem to stand in each other's place: there they "
                f"are typically {np.median(readings[rows, a]):g} and {np.median(readings[rows, b]):g}, on the other "
                f"rows {middle[a]:g} and {middle[b]:g}"
            )


def check_not_swapped(observed: Mapping[str, float], layout: Layout, process: Process, part: str) -> None:
    """Likewise of one part, beside what the history holds; raises InvalidInput naming the two."""
    names = list(process.measurements)
    y = np.array([observed.get(name, np.nan) for name in names])
    scale = layout.scale[layout.coordinate]
    for a, b in _pairs(process):
        pair = [a, b]
        if _in_each_others_place(y[a : a + 1], y[b : b + 1], layout.mean[pair], scale[pair])[0]:
            raise InvalidInput(
                f"part {part}: {names[a]} = {y[a]:g} and {names[b]} = {y[b]:g} seem to stand in each other's place; in "
                f"the history they are typically {layout.mean[a]:g} and {layout.mean[b]:g}"
            )


def _pairs(process: Process) -> Iterator[tuple[int, int]]:
    """Places of any two numbers that are read at the same step."""
    places = {name: j for j, name in enumerate(process.measurements)}
    for step in process.steps:
        yield from combinations([places[m.name] for m in step.measurements if m.kind == NUMBER], 2)


def _in_each_others_place(one: Floats, other: Floats, middle: Floats, spread: Floats) -> NDArray[np.bool_]:
    """`N`: which pairs of values fit their columns only the other way round.

    Args:
        one, other: `N`, NaN where nothing was recorded: there nothing is said.
        middle, spread: of both columns.
    """

    def off(values: Floats, column: int) -> Floats:
        return np.asarray(np.abs(values - middle[column]) / spread[column])

    strange = (off(one, 0) > STRANGE) & (off(other, 1) > STRANGE)
    return np.asarray(strange & (off(one, 1) < USUAL) & (off(other, 0) < USUAL))


def _check_columns(a: int, b: int, middle: Floats, spread: Floats, process: Process, where: str) -> None:
    """Refuse two columns that stand in each other's place from the first row to the last."""
    names = list(process.measurements)
    beside = [_namesakes(j, middle, process) for j in (a, b)]
    now = middle[[a, b]]
    if all(same.size for same in beside):
        usual = np.array([float(np.median(middle[same])) for same in beside])
        wide = np.array([float(np.median(spread[same])) for same in beside])
        drift = np.array([float(np.ptp(middle[same])) for same in beside])
        if _in_each_others_place(now[:1], now[1:], usual, wide + drift)[0]:
            raise InvalidInput(
                f"{where}: {names[a]} and {names[b]} seem to stand in each other's place: they are typically "
                f"{now[0]:g} and {now[1]:g}, where other steps read {usual[0]:g} and {usual[1]:g}"
            )
    one, other = (process.measurements[names[j]][1] for j in (a, b))
    if _fits(now[0], other) and _fits(now[1], one) and _far(now[0], one) and _far(now[1], other):
        raise InvalidInput(
            f"{where}: {names[a]} and {names[b]} seem to stand in each other's place: they are typically {now[0]:g} "
            f"and {now[1]:g}, each far outside its own limits and within the other's"
        )


def _namesakes(place: int, middle: Floats, process: Process) -> NDArray[np.int64]:
    """Places of the same characteristic's readings at other steps, as far as these have a middle."""
    names = list(process.measurements)
    short, unit = names[place].split(".", 1)[1], process.measurements[names[place]][1].unit
    alike = [
        j
        for j, (name, (_, m)) in enumerate(process.measurements.items())
        if j != place and name.split(".", 1)[1] == short and m.unit == unit and np.isfinite(middle[j])
    ]
    return np.array(alike, dtype=np.int64)


def _fits(value: float, m: Measurement) -> bool:
    return math.isfinite(m.lower) and math.isfinite(m.upper) and m.lower <= value <= m.upper


def _far(value: float, m: Measurement) -> bool:
    """Further outside its limits than these are apart."""
    return not m.lower - (m.upper - m.lower) <= value <= m.upper + (m.upper - m.lower)
