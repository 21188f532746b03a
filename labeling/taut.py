"""A region of pixels as a polygon that is exact and has few corners: a page draws each corner, and keeps each.

An outline along the edges of pixels has a corner for every step of a slanted edge. What counts is on which side of the
polygon the centres of pixels lie, and that leaves room to go straight on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labeling.outlines import MOST_CORNERS, Ring, crossings, inside, outline, turn

CLEAR_PX = 0.01
"""So far from an exact polygon every centre stays, along its row: a page keeps corners in hundredths of the picture."""

Point = tuple[float, float]
Cone = tuple[Point, Point]
"""Directions: its limits on the left and on the right hand."""


def exact(pixels: NDArray[np.bool_], edge: Ring | None = None) -> Ring | None:
    """A polygon that holds a region's pixels and no others, with few corners.

    Args:
        pixels: one region, connected by edges or corners.
        edge: its `outline`, with corners passed, where that is known already.

    Returns:
        None for what a polygon cannot hold (a ring), or only with more than `MOST_CORNERS` corners.
    """
    full = outline(pixels, diagonal=True) if edge is None else edge
    if _area(full) != int(pixels.sum()):
        return None  # it has a hole
    ring = _taut(full)
    if 3 <= len(ring) <= MOST_CORNERS and _holds_alone(ring, pixels):
        return ring
    return full if len(full) <= MOST_CORNERS else None


def _area(ring: Ring) -> float:
    """What a polygon encloses that runs clockwise on the screen, in pixels (the shoelace formula)."""
    (x1, y1), (x2, y2) = ring.T, np.roll(ring, -1, axis=0).T
    return float((x1 * y2 - x2 * y1).sum() / 2)


def _taut(edge: Ring) -> Ring:
    """A polygon with few corners that has the same pixel centres on either side as an outline.

    Every edge of a pixel is a gate between two centres, one inside and one outside. Whoever passes all gates in turn
    separates them, and goes straight on as long as one direction leads through the next gate as well: a cone that each
    gate narrows. Where it closes, a corner is set in the gate before. (The shortest such way is the minimum-perimeter
    polygon of Sklansky, Chazin and Hansen 1972, IEEE Trans. Comput. C-21, 260; this one has few corners instead.) Of
    the gates on one side the first and the last do.
    """
    gates = _gates(edge)
    (left, top), (right, bottom) = gates[0]
    first = x, y = (left + right) / 2, (top + bottom) / 2
    corners, cone, last = [first], None, gates[0]
    for gate in [*gates[1:], (first, first)]:
        narrowed = _narrowed(cone, (x, y), gate)
        if narrowed is None:
            assert cone is not None  # the next gate can always be reached
            corners.append(_within(cone, (x, y), last))
            x, y = corners[-1]
            narrowed = _narrowed(None, (x, y), gate)
        cone, last = narrowed, gate
    return np.array(corners)


def _gates(edge: Ring) -> list[tuple[Point, Point]]:
    """The first and the last pixel edge of every side: how far outside and inside one may pass, in order."""
    after = np.roll(edge, -1, axis=0)
    along = np.sign(after - edge)
    middles = np.stack([edge + along / 2, after - along / 2], axis=1).reshape(-1, 2)
    inwards = np.repeat((0.5 - 2 * CLEAR_PX) * np.stack([-along[:, 1], along[:, 0]], axis=1), 2, axis=0)
    other = (middles != np.roll(middles, 1, axis=0)).any(axis=1)  # a side of one pixel has one gate
    both = np.stack([middles - inwards, middles + inwards], axis=1)[other]
    return [((a, b), (c, d)) for (a, b), (c, d) in both.tolist()]


def _narrowed(cone: Cone | None, eye: Point, gate: tuple[Point, Point]) -> Cone | None:
    """The directions of a cone, or all ahead, that lead from `eye` through a gate; None if there is none."""
    (x, y), ((ax, ay), (bx, by)) = eye, gate
    left, right = (ax - x, ay - y), (bx - x, by - y)
    if cone is not None:
        if turn(cone[0], left) > 0:
            left = cone[0]
        if turn(cone[1], right) < 0:
            right = cone[1]
        if turn(left, right) > 0:
            return None
    return left, right


def _within(cone: Cone, eye: Point, gate: tuple[Point, Point]) -> Point:
    """The middle of that part of a gate which lies in a cone."""
    (x, y), ((ax, ay), (bx, by)) = eye, gate
    shares = []
    for direction, otherwise in zip(cone, (0.0, 1.0), strict=True):
        from_a, to_b = turn(direction, (ax - x, ay - y)), turn(direction, (bx - ax, by - ay))
        shares.append(min(max(-from_a / to_b, 0.0), 1.0) if to_b else otherwise)
    share = (shares[0] + shares[1]) / 2
    return ax + share * (bx - ax), ay + share * (by - ay)


def _holds_alone(ring: Ring, pixels: NDArray[np.bool_]) -> bool:
    """Does a polygon hold these pixels and no others, and no centre come near where it passes a row's middle?"""
    height, width = pixels.shape
    _, along, _ = crossings(ring, height)
    y, after = ring[:, 1], np.roll(ring[:, 1], -1)
    if (np.abs(along - 0.5 - np.rint(along - 0.5)) < CLEAR_PX).any() or ((y == after) & (y % 1 == 0.5)).any():
        return False
    return bool((inside(ring, height=height, width=width) == pixels).all())
