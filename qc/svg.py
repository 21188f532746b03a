"""Small line charts as SVG text. Coordinates of data in, a self-contained `<svg>` out; colours come from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 44


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from data to the chart."""

    title: str
    low: float
    high: float
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where a value lies between the ends, in [0, 1]; beyond them at the end."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = (math.log(v) for v in (low, high, max(value, 1e-300)))
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def ticks(self) -> list[float]:
        """Round numbers between the ends."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            every = [m * 10.0**p for p in powers for m in (1, 2, 5)]
            return [v for v in every if self.low <= v * (1 + 1e-9) and v <= self.high * (1 + 1e-9)]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 4))
        step *= next(m for m in (1, 2, 5, 10) if (self.high - self.low) / (step * m) <= 6)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: its points, and a CSS class that gives it a colour."""

    points: Sequence[tuple[float, float]]
    style: str = "main"


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line at a value, with a word."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Band:
    """What lies between two curves: points `(x, low, high)`, in the order of `x`."""

    points: Sequence[tuple[float, float, float]]


def chart(
    name: str, x: Axis, y: Axis, lines: Sequence[Line], marks: Sequence[Mark] = (), bands: Sequence[Band] = ()
) -> str:
    """One chart with axes, a grid, bands, curves above them, and marks."""

    def at(px: float, py: float) -> tuple[float, float]:
        return (
            round(LEFT + x.share(px) * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - y.share(py) * (HEIGHT - TOP - BOTTOM), 1),
        )

    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name, quote=True)}">']
    for value in x.ticks():
        place, _ = at(value, y.low)
        parts.append(f'<path class="grid" d="M{place} {TOP}V{bottom}"/>')
        parts.append(f'<text x="{place}" y="{bottom + 16}" text-anchor="middle">{value:g}</text>')
    for value in y.ticks():
        _, place = at(x.low, value)
        parts.append(f'<path class="grid" d="M{LEFT} {place}H{right}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{place + 4}" text-anchor="end">{value:g}</text>')
    middle = (LEFT + right) / 2
    parts.append(f'<text class="title" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x.title)}</text>')
    turned = f"rotate(-90 14 {(TOP + bottom) / 2})"
    parts.append(
        f'<text class="title" x="14" y="{(TOP + bottom) / 2}" transform="{turned}" text-anchor="middle">'
        f"{escape(y.title)}</text>"
    )
    for band in bands:
        edge = [(px, low) for px, low, _ in band.points] + [(px, high) for px, _, high in reversed(band.points)]
        points = " ".join(f"{px},{py}" for px, py in (at(*p) for p in edge))
        parts.append(f'<polygon class="band" points="{points}"/>')
    for line in lines:
        points = " ".join(f"{px},{py}" for px, py in (at(*p) for p in line.points))
        parts.append(f'<polyline class="{escape(line.style, quote=True)}" points="{points}"/>')
    for number, mark in enumerate(marks):
        place, _ = at(mark.x, y.low)
        parts.append(f'<path class="mark" d="M{place} {TOP}V{bottom}"/>')
        side = "end" if place > middle else "start"
        shift = -4 if side == "end" else 4
        parts.append(
            f'<text class="mark" x="{place + shift}" y="{bottom - 8 - 14 * number}" text-anchor="{side}">'
            f"{escape(mark.text)}</text>"
        )
    return "".join([*parts, "</svg>"])


@dataclass(frozen=True, slots=True)
class Row:
    """A named value with an interval, in a chart that has one such row below the other."""

    name: str
    value: float
    low: float
    high: float
    style: str = "main"


ROW_HEIGHT, NAME_WIDTH = 16, 150


def forest(name: str, title: str, rows: Sequence[Row]) -> str:
    """Values with their intervals, one a row, and a line at zero (a forest plot).

    Args:
        name: read to those who cannot see it.
        title: of the scale, with its unit.
    """
    low, high = min([0.0, *(r.low for r in rows)]), max([0.0, *(r.high for r in rows)])
    room = 0.04 * (high - low) or 1.0
    axis = Axis(title, low - room, high + room)
    height = TOP + ROW_HEIGHT * len(rows) + BOTTOM
    bottom = height - BOTTOM

    def at(value: float) -> float:
        return round(NAME_WIDTH + axis.share(value) * (WIDTH - NAME_WIDTH - RIGHT), 1)

    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(name, quote=True)}">']
    for value in axis.ticks():
        parts.append(f'<path class="grid" d="M{at(value)} {TOP}V{bottom}"/>')
        parts.append(f'<text x="{at(value)}" y="{bottom + 16}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<path class="mark" d="M{at(0.0)} {TOP}V{bottom}"/>')
    for number, row in enumerate(rows):
        y, style = TOP + ROW_HEIGHT * (number + 0.5), escape(row.style, quote=True)
        place = f'x="{NAME_WIDTH - 8}" y="{y + 4}"'
        parts.append(f'<text class="title" {place} text-anchor="end">{escape(row.name)}</text>')
        parts.append(f'<path class="{style}" stroke-width="2" d="M{at(row.low)} {y}H{at(row.high)}"/>')
        parts.append(f'<circle class="{style}" cx="{at(row.value)}" cy="{y}" r="3.5" stroke-width="2"/>')
    parts.append(f'<text class="title" x="{(NAME_WIDTH + WIDTH) / 2}" y="{height - 8}" text-anchor="middle">')
    return "".join([*parts, f"{escape(title)}</text></svg>"])


def stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A curve that rises in steps, not along slopes."""
    walked = list(points[:1])
    for x, y in points[1:]:
        walked += [(x, walked[-1][1]), (x, y)]
    return walked
