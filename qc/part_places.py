"""Where the views of a part lie on each other: which answers in several views are one spot of the part.

A spot is what may be one physical defect: answers that touch each other once they are carried to one view, whatever
they are called there. Views that nobody could lay on each other share no spot; `qc.part_verdict` compares them by
presence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qc.defects import Defect

JOIN_PX = 20.0
"""Answers of one view nearer than this are one defect: light breaks a scratch into pieces."""

HAND_PX = 4.0
"""Beside the spread of a registration, how far the edges of one defect differ between two views: its light and dark
flanks change sides."""

MOST_POINTS = 160
"""Points of an outline that are compared; a distance is then off by less than a hundredth of the outline's length."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Look:
    """One view of a part: what was answered there, or why nothing was seen."""

    name: str
    """Unique among the part's looks."""
    view: str
    width: int
    height: int
    """Of the picture, px."""
    defects: tuple[Defect, ...] = ()
    fault: str | None = None
    """Why this picture says nothing (its camera failed); None for a good one."""
    moment: int = 0
    """Looks of one moment were taken together; a higher one was taken later."""
    known: NDArray[np.bool_] | None = field(default=None, compare=False)
    """`height x width`: where it says what is there and what is not; None: everywhere."""


@dataclass(frozen=True, slots=True)
class Lies:
    """How one picture lies on another."""

    matrix: Floats
    """3 x 3, from (x, y) of the first picture to (x, y) of the second."""
    spread_px: float
    """How far a carried point may be off, one standard deviation, px."""

    @property
    def back(self) -> Lies:
        """How the second picture lies on the first."""
        matrix = np.linalg.inv(self.matrix)
        return Lies(np.asarray(matrix / matrix[2, 2]), self.spread_px)

    def then(self, further: Lies) -> Lies:
        """How the first picture lies on a third, by way of the second."""
        matrix = further.matrix @ self.matrix
        return Lies(np.asarray(matrix / matrix[2, 2]), math.hypot(self.spread_px, further.spread_px))


Between = Callable[[Look, Look], Lies | None]
"""How one look lies on another; None where nobody knows."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One answer of one view."""

    look: int
    """Place in the list of looks."""
    defect: int
    """Place in the look's defects."""


@dataclass(frozen=True, slots=True)
class Spot:
    """What may be one physical defect, and where it was and was not answered."""

    sightings: tuple[Sighting, ...]
    silent: tuple[int, ...]
    """Looks on whose frame the place lies, where they know, and that answered nothing there."""
    group: frozenset[int]
    """All looks of which it is known where the place lies on them, also beyond their frame."""


def spots(looks: Sequence[Look], between: Between) -> list[Spot]:
    """Join the answers of a part's looks by place.

    Args:
        looks: looks with a fault have no answers, and are silent nowhere.
        between: asked for every two looks of which one answered something.

    Returns:
        Every answer in exactly one spot.
    """
    answers = [Sighting(n, k) for n, look in enumerate(looks) for k in range(len(look.defects))]
    outlines = [points_of(looks[a.look].defects[a.defect]) for a in answers]
    lies = _ways(looks, between)
    leader = list(range(len(answers)))

    def find(k: int) -> int:
        while leader[k] != k:
            k = leader[k]
        return k

    for k, one in enumerate(answers):
        for m in range(k):
            two = answers[m]
            if one.look == two.look:
                reach, here = JOIN_PX, outlines[k]
            elif (way := lies.get((one.look, two.look))) is not None:
                reach, here = 2 * way.spread_px + HAND_PX, carried(outlines[k], way.matrix)
            else:
                continue
            if find(k) != find(m) and touch(here, outlines[m], reach):
                leader[find(k)] = find(m)
    joined: dict[int, list[int]] = {}
    for k in range(len(answers)):
        joined.setdefault(find(k), []).append(k)
    found = []
    for members in joined.values():
        seen = {answers[k].look for k in members}
        group = seen | {n for one, n in lies if one in seen}
        silent = tuple(
            n
            for n in sorted(group - seen)
            if any(_inside(looks[n], outlines[k], lies.get((answers[k].look, n))) for k in members)
        )
        found.append(Spot(tuple(answers[k] for k in members), silent, frozenset(group)))
    return found


def _ways(looks: Sequence[Look], between: Between) -> dict[tuple[int, int], Lies]:
    """Both ways for every two looks that lie on each other, of which one answered something.

    Two that cannot be laid on each other are, if a third one lies on both.
    """
    found = dict[tuple[int, int], Lies]()
    left = []
    for n, one in enumerate(looks):
        for m in range(n):
            two = looks[m]
            if one.fault is not None or two.fault is not None or not (one.defects or two.defects):
                continue
            way = between(one, two)
            if way is None:
                left.append((n, m))
            else:
                found[n, m], found[m, n] = way, way.back
    direct = dict(found)
    for n, m in left:
        through = [direct[n, k].then(direct[k, m]) for k in range(len(looks)) if (n, k) in direct and (k, m) in direct]
        if through:
            best = min(through, key=lambda way: way.spread_px)
            found[n, m], found[m, n] = best, best.back
    return found


def points_of(defect: Defect) -> Floats:
    """`N x 2`, (x, y) along the outer edge of a defect, close enough to each other to be compared."""
    box = defect.box
    corners = [(box.x, box.y), (box.right - 1, box.y), (box.right - 1, box.bottom - 1), (box.x, box.bottom - 1)]
    rings = [np.array(ring, np.float64) for ring in defect.outline] or [np.array(corners, np.float64)]
    ring = max(rings, key=len)
    steps = np.roll(ring, -1, axis=0) - ring
    lengths = np.hypot(*steps.T)
    apart = max(2.0, float(lengths.sum()) / MOST_POINTS)
    dense = [
        start + step * np.linspace(0, 1, max(1, int(np.ceil(length / apart))), endpoint=False)[:, None]
        for start, step, length in zip(ring, steps, lengths, strict=True)
    ]
    return np.concatenate(dense)


def carried(points: Floats, matrix: Floats) -> Floats:
    """Points (x, y) under a homography."""
    moved = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(moved[:, :2] / moved[:, 2:], np.float64)


def touch(one: Floats, two: Floats, reach: float) -> bool:
    """Do two outlines come within `reach` px of each other, or does one lie within the other?"""
    low, high = np.maximum(one.min(axis=0), two.min(axis=0)), np.minimum(one.max(axis=0), two.max(axis=0))
    if (low - high > reach).any():
        return False
    apart = one[:, None] - two[None]
    if float((apart**2).sum(axis=2).min()) <= reach**2:
        return True
    return _holds(two, one[0]) or _holds(one, two[0])


def _holds(ring: Floats, point: Floats) -> bool:
    """Does a closed ring hold a point? Even-odd rule."""
    (x, y), after = ring.T, np.roll(ring, -1, axis=0)
    crosses = (y > point[1]) != (after[:, 1] > point[1])
    rise = np.where(crosses, after[:, 1] - y, 1.0)
    return bool(np.count_nonzero(crosses & (point[0] < x + (point[1] - y) / rise * (after[:, 0] - x))) % 2)


def _inside(look: Look, outline: Floats, way: Lies | None) -> bool:
    """Does the larger part of an outline lie where a look knows? Never where nobody knows where it lies."""
    if way is None:
        return False
    places = carried(outline, way.matrix)
    there = np.asarray(((places >= 0) & (places < [look.width, look.height])).all(axis=1), np.bool_)
    if look.known is not None:
        columns, rows = places[there].astype(np.intp).T
        there[there] = look.known[rows, columns]
    return float(there.mean()) >= 0.5
