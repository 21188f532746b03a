"""A frame of any size through a network, tile by tile, with the answer the whole frame at once would give.

What lies beyond the frame is settled here and nowhere else: to the right and at the bottom the frame is continued
by reflection up to the next multiple of the network's stride (and up to `SMALLEST_PX` where it is smaller than
that); beyond, the network sees the zeros with which its own convolutions pad, as it did at the edges of every
training crop. Tiles are cut off where that continued frame ends. Inside the frame a tile looks a halo of at least
the network's reach around its core. Hence every answer is computed from the same numbers wherever the tiles fall.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.geometry import Box
from qc.tiling import tiles
from segmentation.looking import Inside

SMALLEST_PX = 128
"""Frames are continued to at least this size, so that the coarsest features are more than a dot."""

CORE_PX = 1536
"""Largest side of a core. With a halo of 208 px a tile then spends 40 % of its work on the halo in the middle of a
large frame and nothing at its edges, and the features of a tile stay below half a gigabyte."""

RIM_CELLS = 2
"""Coarsest cells around a core that the decoder needs: two convolutions of 3 x 3 at each of its steps, and one in the
head, look `2 s (1 - 2^(1 - d)) + 2` px far where the coarsest stride is `s = 2^d`, which is at most `2 s`."""

Planes = Sequence[NDArray[Any]]
"""What a network says of a window: arrays of its size, or of a coarser grid on it whose cells divide the stride."""


def continued(length: int, stride: int) -> int:
    """The side to which a frame's side of `length` px is continued."""
    return -(-max(length, SMALLEST_PX) // stride) * stride


def balanced_core(height: int, width: int, stride: int, largest: int = CORE_PX) -> int:
    """A core of at most `largest` px (rounded up to the stride) that divides the longer side evenly."""
    longer = max(height, width)
    count = -(-longer // largest)
    return -(-longer // count // stride) * stride


def halo_of(reach: int, stride: int) -> int:
    """The pixels a tile looks at around its core: at least the reach, and a multiple of the stride."""
    return -(-reach // stride) * stride


def window_inside(shape: tuple[int, ...], side: int, stride: int, around: tuple[int, int] | None = None) -> Box:
    """A window of at most `side` px on a frame of `shape`, with sides that are multiples of `stride`.

    Of a small frame, the whole of what it is continued to. As near as the frame allows to having the place `around`
    (row, column) in its middle; None: the middle of the frame.
    """
    places = []
    for length, middle in zip(shape[:2], around or (shape[0] // 2, shape[1] // 2), strict=True):
        taken = min(side // stride * stride, continued(length, stride))
        places.append((min(max(0, middle - taken // 2), max(0, length - taken)), taken))
    (y, height), (x, width) = places
    return Box(x, y, width, height)


def look_at(pixels: NDArray[np.uint8], window: Box) -> NDArray[np.uint8]:
    """A window of the continued frame, as the network sees it: `H x W x 3`, RGB.

    Args:
        pixels: the frame, `H x W` or `H x W x 3`.
        window: inside the continued frame.
    """
    height, width = pixels.shape[:2]
    rows = _reflected(window.y, window.bottom, height)
    columns = _reflected(window.x, window.right, width)
    piece = pixels[rows][:, columns] if isinstance(columns, slice) else np.take(pixels[rows], columns, axis=1)
    piece = np.ascontiguousarray(piece)
    return cv2.cvtColor(piece, cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False) if piece.ndim == 2 else piece


def _reflected(start: int, stop: int, length: int) -> slice | NDArray[np.intp]:
    if stop <= length:
        return slice(start, stop)
    places = np.arange(start, stop) % (2 * length)
    inside: NDArray[np.intp] = np.minimum(places, 2 * length - 1 - places)
    return inside


def answers(
    pixels: NDArray[np.uint8],
    look: Callable[[NDArray[np.uint8]], Planes],
    *,
    reach: int,
    stride: int,
    core: int | None = None,
    cores: Sequence[Box] | None = None,
    inside: Inside | None = None,
    at_once: int = 1,
) -> Iterator[tuple[Box, Planes]]:
    """What `look` says of a frame, core by core: `(box on the frame, planes of its size)`.

    Args:
        pixels: the frame, `H x W` or `H x W x 3`.
        look: asked about windows of the continued frame whose sides are multiples of `stride`.
        reach: how far `look` sees, in pixels.
        stride: of the network, in pixels.
        core: largest side of a core, in pixels, a multiple of `stride`; None: as the frame divides evenly.
        cores: the places asked about, inside the frame, each beginning on a multiple of `stride`; None: all of it.
        inside: asked instead of `look`, where it can spare itself what only the halo would need.
        at_once: so many windows are asked about at the same time; what is answered, and in which order, stays the same.
    """
    height, width = pixels.shape[:2]
    halo = halo_of(reach, stride)
    right, bottom = continued(width, stride), continued(height, stride)
    if cores is None:
        core = balanced_core(height, width, stride) if core is None else core
        cores = [tile.core for tile in tiles(height, width, core=core, halo=halo, stride=stride)]

    def answer(box: Box) -> tuple[Box, Planes]:
        x, y = max(box.x - halo, 0), max(box.y - halo, 0)
        window_right = box.x + -(-box.width // stride) * stride + halo
        window_bottom = box.y + -(-box.height // stride) * stride + halo
        window = Box(x, y, min(window_right, right) - x, min(window_bottom, bottom) - y)
        shown = look_at(pixels, window)
        if inside is None:
            said, answered = look(shown), window
        else:
            answered = _with_rim(box, window, stride)
            rows = np.arange((answered.y - y) // stride, (answered.bottom - y) // stride)
            said = inside(shown, rows, np.arange((answered.x - x) // stride, (answered.right - x) // stride))
        return box, [_core(plane, box, answered) for plane in said]

    yield from map(answer, cores) if at_once == 1 or len(cores) == 1 else _side_by_side(answer, cores, at_once)


def _side_by_side(
    answer: Callable[[Box], tuple[Box, Planes]], cores: Sequence[Box], at_once: int
) -> Iterator[tuple[Box, Planes]]:
    """As `map` says, computed by `at_once` threads; no more answers wait to be taken than that."""
    asked = deque[Future[tuple[Box, Planes]]]()
    try:
        for box in cores:
            if len(asked) > at_once:
                yield asked.popleft().result()
            asked.append(_threads(at_once).submit(answer, box))
        while asked:
            yield asked.popleft().result()
    finally:
        for one in asked:
            one.cancel()


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    """They stay, as a runtime keeps memory for each thread that asks it."""
    return ThreadPoolExecutor(count, thread_name_prefix="window")


def _with_rim(box: Box, window: Box, stride: int) -> Box:
    """What must be answered for a core's sake: `RIM_CELLS` around it, as far as its window goes."""
    rim = RIM_CELLS * stride
    x, y = max(box.x - rim, window.x), max(box.y - rim, window.y)
    right = min(box.x + -(-box.width // stride) * stride + rim, window.right)
    bottom = min(box.y + -(-box.height // stride) * stride + rim, window.bottom)
    return Box(x, y, right - x, bottom - y)


def _core(plane: NDArray[Any], box: Box, window: Box) -> NDArray[Any]:
    """The part of a plane that speaks for `box`; of a coarser grid, every cell that the box touches."""
    px = window.width // plane.shape[-1]
    rows = slice((box.y - window.y) // px, -(-(box.bottom - window.y) // px))
    return plane[..., rows, (box.x - window.x) // px : -(-(box.right - window.x) // px)]
