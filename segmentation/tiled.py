"""A frame of any size through a network, tile by tile, with the answer the whole frame at once would give.

What lies beyond the frame is settled here and nowhere else: to the right and at the bottom the frame is continued
by reflection up to the next multiple of the network's stride (and up to `SMALLEST_PX` where it is smaller than
that); beyond, the network sees the zeros with which its own convolutions pad, as it did at the edges of every
training crop. Tiles are cut off where that continued frame ends. Inside the frame a tile looks a halo of at least
the network's reach around its core. Hence every answer is computed from the same numbers wherever the tiles fall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.geometry import Box
from qc.tiling import tiles

SMALLEST_PX = 128
"""Frames are continued to at least this size, so that the coarsest features are more than a dot."""

CORE_PX = 1536
"""Largest side of a core. With a halo of 208 px a tile then spends 40 % of its work on the halo in the middle of a
large frame and nothing at its edges, and the features of a tile stay below half a gigabyte."""

Look = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""`H x W x 3` in [-1, 1], sides multiples of the stride -> `K x H x W` logits."""


def continued(length: int, stride: int) -> int:
    """The side to which a frame's side of `length` px is continued."""
    return -(-max(length, SMALLEST_PX) // stride) * stride


def balanced_core(height: int, width: int, stride: int, largest: int = CORE_PX) -> int:
    """A core of at most `largest` px (rounded up to the stride) that divides the longer side evenly."""
    longer = max(height, width)
    count = -(-longer // largest)
    return -(-longer // count // stride) * stride


def look_at(pixels: NDArray[Any], window: Box, *, bits: int, stride: int) -> NDArray[np.float32]:
    """A window of the continued frame, as the network sees it: `H x W x 3` in [-1, 1].

    Args:
        pixels: the frame, `H x W` or `H x W x 3`, uint8 or uint16.
        window: inside the continued frame.
        bits: the camera's depth; brightest pixel `2^bits - 1`.
        stride: of the network.
    """
    height, width = pixels.shape[:2]
    rows = _reflected(window.y, window.bottom, height)
    columns = _reflected(window.x, window.right, width)
    piece = pixels[rows][:, columns] if isinstance(columns, slice) else np.take(pixels[rows], columns, axis=1)
    if piece.dtype == np.uint16:
        piece = (piece >> (bits - 8)).astype(np.uint8)
    if piece.ndim == 2:
        piece = cv2.cvtColor(np.ascontiguousarray(piece), cv2.COLOR_GRAY2RGB)
    return piece.astype(np.float32) / np.float32(127.5) - np.float32(1.0)


def _reflected(start: int, stop: int, length: int) -> slice | NDArray[np.intp]:
    if stop <= length:
        return slice(start, stop)
    places = np.arange(start, stop) % (2 * length)
    inside: NDArray[np.intp] = np.minimum(places, 2 * length - 1 - places)
    return inside


def answers(
    pixels: NDArray[Any], look: Look, *, reach: int, stride: int, bits: int, core: int | None = None
) -> Iterator[tuple[Box, NDArray[np.float32]]]:
    """The logits of a frame, core by core: `(box on the frame, K x height x width)`."""
    height, width = pixels.shape[:2]
    core = balanced_core(height, width, stride) if core is None else core
    halo = -(-reach // stride) * stride
    right, bottom = continued(width, stride), continued(height, stride)
    for tile in tiles(height, width, core=core, halo=halo, stride=stride):
        x, y = max(tile.left, 0), max(tile.top, 0)
        window = Box(x, y, min(tile.left + tile.width, right) - x, min(tile.top + tile.height, bottom) - y)
        logits = look(look_at(pixels, window, bits=bits, stride=stride))
        box = tile.core
        yield box, logits[:, box.y - y : box.bottom - y, box.x - x : box.right - x]
