"""Brush strokes as Label Studio packs them (the rle-pack bit stream), and the marks that its page leaves behind."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput

SPECK_PX = 4
"""Label Studio can leave marks of a few pixels at the picture's border when a stroke is submitted (its issue 6694)."""

_LONGEST = 1 << 16
"""Values in one packed run at most."""

_HEAD = np.unpackbits(np.frombuffer((0b00111_0010_0011_0111_1111 << 3).to_bytes(3, "big"), np.uint8))[:21]
"""8 bits a value; the length of a run is told in 3, 4, 8 or 16 bits. All five numbers less one."""


def pack(blob: NDArray[np.bool_], *, at: tuple[int, int] = (0, 0), size: tuple[int, int] | None = None) -> list[int]:
    """Strokes that cover `blob` and nothing else: RGBA, all four 255 there.

    The bit stream: the number of values (32 bits), the head, then for each run of equal values a 1, two bits that
    choose how its length is told, the length less one, the value. The SDK's encoder looks at every value of the
    picture; this one at the pixels of the window, so that a small blob on a large picture takes next to no time.

    Args:
        blob: a window of the picture; what lies outside of it is not covered.
        at: the window's first row and column on the picture.
        size: height and width of the picture, if the window is not all of it.
    """
    height, width = blob.shape if size is None else size
    total = 4 * height * width
    rows, columns = np.nonzero(np.diff(np.pad(blob, ((0, 0), (1, 1))), axis=1))  # where each row begins and ends
    edges, times = np.unique((rows + at[0]) * width + columns + at[1], return_counts=True)
    edges = edges[times == 1]  # a run that goes on in the next row neither ends nor begins
    lengths = np.diff(np.concatenate(([0], 4 * edges, [total])))
    values = np.arange(len(lengths)) % 2 * 255
    some = lengths > 0  # the first is empty where the blob begins with the picture, the last where it ends with it
    parts = -(-lengths[some] // _LONGEST)
    told = np.full(int(parts.sum()), _LONGEST)
    told[np.cumsum(parts) - 1] = lengths[some] - (parts - 1) * _LONGEST
    values = np.repeat(values[some], parts)
    count = np.unpackbits(np.frombuffer(total.to_bytes(4, "big"), np.uint8))
    return list(np.packbits(np.concatenate([count, _HEAD, _bits(told, values)])).tobytes())


def _bits(lengths: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The runs as bits, one after another."""
    kind = (lengths > 8).astype(np.int64) + (lengths > 16) + (lengths > 256)
    wide = np.array([3, 4, 8, 16])[kind]
    size = 1 + 2 + wide + 8
    code = (((0b100 + kind) << wide) + (lengths - 1) << 8) + values
    left = (code << (32 - size)).astype(">u4")
    bits = np.unpackbits(left.view(np.uint8).reshape(-1, 4), axis=1)
    return bits[np.arange(32) < size[:, None]]


def unpack(rle: Any, *, height: int, width: int) -> NDArray[np.uint8]:
    """The alpha of packed brush strokes, `H x W`.

    Raises:
        InvalidInput: not a list of bytes, damaged, or not of this size; nothing is allocated for a size it claims.
    """
    from label_studio_sdk.converter import brush

    try:
        data = bytes(rle)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"brush strokes are not a list of bytes: {error}") from error
    claimed = int.from_bytes(data[:4], "big")
    if claimed != 4 * height * width:
        raise InvalidInput(
            f"brush strokes hold {claimed} values; a crop of {width} x {height} px has {4 * height * width}"
        )
    try:
        values = brush.decode_rle(data)
    except (ValueError, IndexError, OverflowError) as error:
        raise InvalidInput("brush strokes are damaged or end too early") from error
    return np.asarray(values, np.uint8).reshape(height, width, 4)[..., 3]


def without_specks(blob: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int]:
    """A brush region without marks of up to `SPECK_PX` pixels at the border, where it has something larger besides."""
    number, blobs, stats, _ = cv2.connectedComponentsWithStats(blob.astype(np.uint8), connectivity=8)
    if number <= 2 or stats[1:, cv2.CC_STAT_AREA].max() <= SPECK_PX:
        return blob, 0
    height, width = blob.shape
    keep = np.ones(number, bool)
    keep[0] = False
    for k in range(1, number):
        x, y, w, h, area = (int(v) for v in stats[k])
        at_border = x == 0 or y == 0 or x + w == width or y + h == height
        keep[k] = area > SPECK_PX or not at_border
    return keep[blobs], int((~keep[1:]).sum())
