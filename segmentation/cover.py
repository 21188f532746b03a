"""Cells that must be looked at become few windows: every cell is covered, and as little as possible is looked at twice.

A window looks a halo around its core, so two cells near each other cost less in one window than in two, and far apart
less in two. Boxes are cut in two, across or along, again and again, where that makes the work smaller (guillotine
cuts); the work is the area of the windows, halo included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qc.geometry import Box
from segmentation.tiled import CORE_PX, balanced_core, continued, halo_of

PATIENCE = 1.3
"""A cut that by itself costs up to so much more is followed: the next one may pay for it."""

WORTH = 0.9
"""Of the work of the whole frame; a cover that spares less is not worth the search."""

DEEPEST = 60
"""Cuts of cuts that are tried."""

NO_CUT = 1 << 62
"""More work than any."""

ROUND_CELLS = 4
"""Cores grow to multiples of so many cells where the frame has room: runtimes prepare for each new size of window."""

Cells = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Frame:
    height: int
    width: int
    cell: int
    halo: int
    stride: int

    def work(
        self, top: NDArray[np.int64], bottom: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Pixels looked at for cores of cells `top..bottom`, `left..right` (ends not included)."""
        return self._side(top, bottom, self.height) * self._side(left, right, self.width)

    def _side(self, first: NDArray[np.int64], last: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        end = continued(length, self.stride)
        start, stop = first * self.cell, np.minimum(last * self.cell, end)
        pieces = -(-(stop - start) // CORE_PX)
        looked = np.minimum(stop + self.halo, end) - np.maximum(start - self.halo, 0)
        result: NDArray[np.int64] = looked + (pieces - 1) * 2 * self.halo
        return result


def cover(wanted: Cells, height: int, width: int, *, cell: int, reach: int, stride: int) -> list[Box] | None:
    """Cores for windows that answer for all wanted cells of a frame; they do not overlap.

    Args:
        wanted: `rows x columns` of cells.
        height, width: of the frame, in pixels.
        cell: side of a cell, in pixels; a multiple of `stride`.
        reach: how far the network looks, in pixels.
        stride: of the network.

    Returns:
        Boxes inside the frame, each at most `CORE_PX` wide and high; None where this would hardly be less work than
        looking at the whole frame (`WORTH`).
    """
    frame = _Frame(height, width, cell, halo_of(reach, stride), stride)
    if not wanted.any():
        return []
    whole = _whole(frame)
    if _least(wanted, frame) >= WORTH * whole:
        return None
    found: list[tuple[int, int, int, int]] = []
    work = _best(wanted, 0, 0, frame, found)
    if work >= WORTH * whole:
        return None
    return [piece for box in _rounded(found, wanted.shape, frame) for piece in _pieces(box, frame)]


def _whole(frame: _Frame) -> int:
    """Pixels looked at without a first look."""
    cores = balanced_core(frame.height, frame.width, frame.stride, frame.halo)
    sides = []
    for length, core in zip((frame.height, frame.width), cores, strict=True):
        end = continued(length, frame.stride)
        starts = np.arange(0, length, core)
        stops = np.minimum(starts + core, end)
        looked = np.minimum(stops + frame.halo, end) - np.maximum(starts - frame.halo, 0)
        sides.append(int(looked.sum()))
    return sides[0] * sides[1]


def _least(wanted: Cells, frame: _Frame) -> int:
    """No cover looks at fewer pixels than the cells and a halo around each, counted once."""
    far = frame.halo // frame.cell
    padded = np.pad(wanted, ((far, far), (far, far))).astype(np.int64)
    total = np.pad(padded.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    side = 2 * far + 1
    near = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    return int((near > 0).sum()) * frame.cell**2


def _best(
    wanted: Cells, top: int, left: int, frame: _Frame, found: list[tuple[int, int, int, int]], depth: int = 0
) -> int:
    """Adds boxes of cells (top, bottom, left, right) to `found`; the work they are. `wanted` has at least one cell."""
    rows, columns = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    wanted = wanted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    top, left = top + int(rows[0]), left + int(columns[0])
    height, width = wanted.shape
    edges = np.array([top]), np.array([top + height]), np.array([left]), np.array([left + width])
    own = int(frame.work(*edges)[0])
    cuts = [_cuts(wanted, top, left, frame, turned=False), _cuts(wanted.T, left, top, frame, turned=True)]
    least, axis, place = min(
        (int(c.min(initial=NO_CUT)), a, int(c.argmin()) if len(c) else 0) for a, c in enumerate(cuts)
    )
    if least < PATIENCE * own and depth < DEEPEST:
        kept = len(found)
        first, second = (
            (wanted[: place + 1], wanted[place + 1 :])
            if axis == 0
            else (wanted[:, : place + 1], wanted[:, place + 1 :])
        )
        work = _best(first, top, left, frame, found, depth + 1)
        down, along = (place + 1, 0) if axis == 0 else (0, place + 1)
        work += _best(second, top + down, left + along, frame, found, depth + 1)
        if work < own:
            return work
        del found[kept:]
    found.append((top, top + height, left, left + width))
    return own


def _cuts(wanted: Cells, top: int, left: int, frame: _Frame, *, turned: bool) -> NDArray[np.int64]:
    """Work of the two parts for a cut after each row but the last; both parts drawn tight around their cells."""
    height, width = wanted.shape
    if height < 2:
        return np.empty(0, np.int64)
    any_row = wanted.any(axis=1)
    first = np.where(any_row, wanted.argmax(axis=1), width)
    last = np.where(any_row, width - wanted[:, ::-1].argmax(axis=1), 0)
    places = np.arange(height)
    before = np.maximum.accumulate(np.where(any_row, places, 0))[:-1] + 1  # after the last wanted row up to the cut
    after = np.minimum.accumulate(np.where(any_row, places, height - 1)[::-1])[::-1][1:]
    upper = np.minimum.accumulate(first)[:-1], np.maximum.accumulate(last)[:-1]
    lower = np.minimum.accumulate(first[::-1])[::-1][1:], np.maximum.accumulate(last[::-1])[::-1][1:]
    zero: NDArray[np.int64] = np.zeros(height - 1, np.int64)
    parts = ((zero, before, *upper), (after, zero + height, *lower))
    work: NDArray[np.int64] = zero
    for start, stop, low, high in parts:
        across, along = (top + start, top + stop), (left + low, left + high)
        work = work + (frame.work(*along, *across) if turned else frame.work(*across, *along))
    return work


def _rounded(
    found: list[tuple[int, int, int, int]], shape: tuple[int, ...], frame: _Frame
) -> list[tuple[int, int, int, int]]:
    """Boxes grown to multiples of `ROUND_CELLS` to the right and below, as far as no other box is in the way."""
    taken = np.zeros(shape, np.uint8)
    for top, bottom, left, right in found:
        taken[top:bottom, left:right] += 1
    grown = []
    for top, bottom, left, right in found:
        wide = min(-(-(right - left) // ROUND_CELLS) * ROUND_CELLS + left, shape[1])
        if not taken[top:bottom, right:wide].any():
            taken[top:bottom, right:wide] += 1
            right = wide
        high = min(-(-(bottom - top) // ROUND_CELLS) * ROUND_CELLS + top, shape[0])
        if not taken[bottom:high, left:right].any():
            taken[bottom:high, left:right] += 1
            bottom = high
        grown.append((top, bottom, left, right))
    return grown


def _pieces(box: tuple[int, int, int, int], frame: _Frame) -> list[Box]:
    """A box of cells in pixels, divided where it is larger than a core may be."""
    top, bottom, left, right = (n * frame.cell for n in box)
    bottom, right = min(bottom, frame.height), min(right, frame.width)
    ys, xs = _divided(top, bottom, frame.stride), _divided(left, right, frame.stride)
    return [Box(x, y, x2 - x, y2 - y) for y, y2 in ys for x, x2 in xs]


def _divided(start: int, stop: int, stride: int) -> list[tuple[int, int]]:
    count = -(-(stop - start) // CORE_PX)
    step = -(-(stop - start) // count // stride) * stride
    return [(at, min(at + step, stop)) for at in range(start, stop, step)]
