"""A frame of any size through a network, tile by tile, with the answer the whole frame at once would give.

What lies beyond the frame is settled here and nowhere else: to the right and at the bottom the frame is continued
by reflection up to the next multiple of the network's stride (and up to `SMALLEST_PX` where it is smaller than
that); beyond, the network sees the zeros with which its own convolutions pad, as it did at the edges of every
training crop. Tiles are cut off where that continued frame ends. Inside the frame a tile looks a halo of at least
the network's reach around its core. Hence every answer is computed from the same numbers wherever the tiles fall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.geometry import Box
from qc.tiling import tiles
from segmentation.abreast import in_order
from segmentation.looking import Abreast, Inside

SMALLEST_PX = 128
"""Frames are continued to at least this size, so that the coarsest features are more than a dot."""

CORE_PX = 1024
"""Largest side of a core where only some places of a frame are looked at: two such windows side by side take no more
memory than one of `WINDOW_PX`."""

WINDOW_PX = 1984**2
"""Largest area of a window, halo included, where all of a frame is looked at: 1.4 GB of features in float32, 0.8
in 8 bit. With a halo of 208 px the windows of 12 Mpx are then 1.26 times the frame, those of 100 Mpx 1.5 times."""

NARROWEST_PX = 256
"""Of cores: in narrower ones hardly anything but halo would be looked at."""

RIM_CELLS = 2
"""Coarsest cells around a core that the decoder needs: two convolutions of 3 x 3 at each of its steps, and one in the
head, look `2 s (1 - 2^(1 - d)) + 2` px far where the coarsest stride is `s = 2^d`, which is at most `2 s`."""

Planes = Sequence[NDArray[Any]]
"""What a network says of a window: arrays of its size, or of a coarser grid on it whose cells divide the stride."""


def continued(length: int, stride: int) -> int:
    """The side to which a frame's side of `length` px is continued."""
    return -(-max(length, SMALLEST_PX) // stride) * stride


def balanced_core(height: int, width: int, stride: int, halo: int, largest: int | None = None) -> tuple[int, int]:
    """Height and width of the core with which all of a frame is looked at with least work; multiples of the stride.

    Args:
        height, width: of the frame, in pixels.
        stride, halo: of the network, in pixels.
        largest: area of a window, in pixels; None: `WINDOW_PX`. Exceeded where cores would be narrower than
            `NARROWEST_PX`.
    """
    area = WINDOW_PX if largest is None else largest

    def window(rows: int, columns: int) -> int:
        sides = ((height, rows), (width, columns))
        high, wide = (min(_share(px, n, stride) + min(n - 1, 2) * halo, continued(px, stride)) for px, n in sides)
        return high * wide

    def work(rows: int, columns: int) -> int:
        return (height + 2 * halo * (rows - 1)) * (width + 2 * halo * (columns - 1))

    most_rows, most_columns = (-(-px // NARROWEST_PX) for px in (height, width))
    choices = [
        (next((n for n in range(1, most_rows + 1) if window(n, columns) <= area), most_rows), columns)
        for columns in range(1, most_columns + 1)
    ]
    rows, columns = min(choices, key=lambda choice: (max(area, window(*choice)), work(*choice)))
    return _share(height, rows, stride), _share(width, columns, stride)


def _share(length: int, count: int, stride: int) -> int:
    """A side divided into `count` parts, the last of them perhaps smaller; a multiple of the stride."""
    return -(-length // count // stride) * stride


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
    core: int | tuple[int, int] | None = None,
    cores: Sequence[Box] | None = None,
    inside: Inside | None = None,
    abreast: Abreast | None = None,
) -> Iterator[tuple[Box, Planes]]:
    """What `look` says of a frame, core by core: `(box on the frame, planes of its size)`.

    Args:
        pixels: the frame, `H x W` or `H x W x 3`.
        look: asked about windows of the continued frame whose sides are multiples of `stride`.
        reach: how far `look` sees, in pixels.
        stride: of the network, in pixels.
        core: largest side of a core, or its height and width, in pixels, multiples of `stride`; None: as the frame is
            looked at with least work (`balanced_core`).
        cores: the places asked about, inside the frame, each beginning on a multiple of `stride`; None: all of it.
        inside: asked instead of `look`, where it can spare itself what only the halo would need.
        abreast: asked instead of both where there are several windows, about some of them at once.
    """
    height, width = pixels.shape[:2]
    halo = halo_of(reach, stride)
    right, bottom = continued(width, stride), continued(height, stride)
    if cores is None:
        core = balanced_core(height, width, stride, halo) if core is None else core
        sides = (core, core) if isinstance(core, int) else core
        cores = [tile.core for tile in tiles(height, width, core=sides, halo=halo, stride=stride)]
    count = 1
    if abreast is not None and len(cores) > 1:
        look, inside, count = abreast.see, abreast.inside, abreast.count

    def said_of(box: Box) -> list[NDArray[Any]]:
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
        return [_core(plane, box, answered) for plane in said]

    yield from zip(cores, in_order(said_of, cores, count), strict=True)


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
