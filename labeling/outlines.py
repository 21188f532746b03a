"""Polygons and the pixels they hold: the edge of a region, and back.

A pixel is a unit square, and a polygon holds it if it holds its centre. The inside is where the polygon winds around a
point, as the page of Label Studio fills it (the non-zero rule), so that what a person sees is what is collected. A
centre on an edge belongs to the polygon on its right (or below), never to both of two that share the edge.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]
"""`N x 2`, the corners (x, y) of a closed polygon; pixel (0, 0) covers [0, 1] squared."""

FAITHFUL = 0.9
"""Intersection over union with its region that a simplified polygon must keep; a person corrects the rest."""

MOST_CORNERS = 150
"""A polygon with more corners is more work to mend than a brush stroke."""

COARSENESS_PX = (2.0, 1.0, 0.5, 0.0)
"""How far a simplified outline may lie from the exact one; the coarsest that is `FAITHFUL` is taken."""


def outline(pixels: NDArray[np.bool_], *, diagonal: bool = False) -> Ring:
    """The outer edge of a region, along the edges of its pixels. Holes are passed over.

    Args:
        pixels: one connected region, anywhere in the picture.
        diagonal: it may be connected by corners alone; the outline then touches itself there.
    """
    padded = np.pad(pixels, 1).view(np.int8)
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for x, y, to_x, to_y in [*_sides(padded).tolist(), *_sides(padded.T)[:, [3, 2, 1, 0]].tolist()]:
        steps.setdefault((x, y), []).append((to_x, to_y))
    first = min(steps, key=lambda p: (p[1], p[0]))  # on the outer edge, never on a hole's
    ring, at, heading = [first], first, (1, 0)
    choose = max if diagonal else min
    while True:
        # Where two regions meet at a corner: to the right stays on this side of it, to the left goes across.
        ways = steps[at]
        ahead = ways[0] if len(ways) == 1 else choose(ways, key=lambda p: turn(heading, (p[0] - at[0], p[1] - at[1])))
        at, heading = ahead, (ahead[0] - at[0], ahead[1] - at[1])
        if at == first:
            return np.array(ring, np.float64)
        ring.append(at)


def _sides(padded: NDArray[np.int8]) -> NDArray[np.int64]:
    """The level sides of all edges of a region, from corner to corner, with the region on the right hand.

    Args:
        padded: 1 in the region, 0 elsewhere and one pixel around it.

    Returns:
        `N x 4`: x and y of where a side begins, then of where it ends.
    """
    kind = np.diff(padded, axis=0)  # 1: the region lies below this line, -1: above it
    y, before = np.nonzero(np.diff(kind, axis=1))
    along = kind[y, before + 1]
    begin = np.flatnonzero(along)  # a side ends at the next corner of its line
    end = begin + 1
    begin, end = np.where(along[begin] > 0, (begin, end), (end, begin))
    return np.stack([before[begin], y[begin], before[end], y[end]], axis=1)


def turn(before: tuple[float, float], after: tuple[float, float]) -> float:
    """Negative for a turn to the right (downwards is y), positive to the left."""
    return before[1] * after[0] - before[0] * after[1]


def inside(ring: Ring, *, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels whose centres a polygon holds, `H x W`; corners may lie outside of the picture."""
    rows, along, turns = crossings(ring, height)
    columns = np.clip(np.ceil(along - 0.5), 0, width).astype(np.int64)
    winds = np.zeros((height, width + 1), np.int32)
    np.add.at(winds, (rows, columns), turns)
    found: NDArray[np.bool_] = np.cumsum(winds, axis=1)[:, :width] != 0
    return found


def crossings(ring: Ring, height: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Where a polygon crosses the middle of a row: the row, how far along it, and 1 downwards or -1 upwards."""
    (x1, y1), (x2, y2) = ring.T, np.roll(ring, -1, axis=0).T
    first = np.maximum(np.ceil(np.minimum(y1, y2) - 0.5), 0).astype(np.int64)
    last = np.minimum(np.ceil(np.maximum(y1, y2) - 0.5), height).astype(np.int64)
    crossed = np.maximum(last - first, 0)  # rows whose centres an edge passes: none where it is level
    edge = np.repeat(np.arange(len(ring)), crossed)
    rows = first[edge] + np.arange(len(edge)) - (np.cumsum(crossed) - crossed)[edge]
    along = x1[edge] + (rows + 0.5 - y1[edge]) * ((x2[edge] - x1[edge]) / (y2[edge] - y1[edge]))
    return rows, along, np.where(y2 > y1, 1, -1)[edge]


def simplified(pixels: NDArray[np.bool_], edge: Ring | None = None) -> Ring | None:
    """An outline with few corners that holds a region about: what a person can mend by moving corners.

    Args:
        pixels: one region, connected by edges or corners.
        edge: as for `exact`.

    Returns:
        The coarsest of `COARSENESS_PX` that is `FAITHFUL`; None for what a polygon cannot hold (a ring), or only with
        more than `MOST_CORNERS` corners.
    """
    height, width = pixels.shape
    full = outline(pixels, diagonal=True) if edge is None else edge
    area = int(pixels.sum())
    for coarse in COARSENESS_PX:
        ring = full
        if coarse:
            ring = cv2.approxPolyDP(full.astype(np.float32)[:, None], coarse, True)[:, 0].astype(np.float64)
        if not 3 <= len(ring) <= MOST_CORNERS:
            continue
        held = inside(ring, height=height, width=width)
        common = int((held & pixels).sum())
        if common >= FAITHFUL * (area + int(held.sum()) - common):
            return ring
    return None
