"""Pictures for people: zoom tiles, overlays, masks. Arrays in, bytes out; the camera's bytes stay as they are."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.errors import NotFound, Unavailable
from qc.frame import Pixels, to_8bit
from qc.geometry import Box
from server.cache import Cache

TILE = 512
"""Side of a zoom tile in pixels; neighbours do not overlap."""

JPEG_QUALITY = 92
"""Hair-thin scratches must survive; at 92 they do, at a third of PNG's bytes."""

COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
"""RGB for class 1, 2, …: Okabe and Ito's palette, which people with colour blindness can tell apart."""


def top_level(width: int, height: int) -> int:
    """The Deep Zoom level of full size: the smallest L with 2^L at least the longer side."""
    return max(0, math.ceil(math.log2(max(width, height))))


def level_size(width: int, height: int, level: int) -> tuple[int, int]:
    """Width and height of the picture on a level: halved for each level below the top, rounded up."""
    steps = top_level(width, height) - level
    return -(-width // (1 << steps)), -(-height // (1 << steps))


def tile(
    cache: Cache, sha256: str, size: tuple[int, int], level: int, column: int, row: int, *, decode: Callable[[], Pixels]
) -> bytes:
    """One zoom tile as JPEG.

    Args:
        cache: keeps the levels as plain arrays, from which a tile is cut without reading the rest.
        sha256: of the picture.
        size: its width and height in pixels.
        level: 0 (one pixel) to `top_level` (full size).
        column, row: of the tile on its level, from 0.
        decode: gives the picture when it is not in the cache.

    Raises:
        NotFound: no such level or tile.
    """
    width, height = size
    if not 0 <= level <= top_level(width, height):
        raise NotFound(f"there is no level {level}; the levels are 0 to {top_level(width, height)}")
    across, down = level_size(width, height, level)
    if not (0 <= column * TILE < across and 0 <= row * TILE < down):
        raise NotFound(f"level {level} has no tile {column}_{row}; it is {across} x {down} px")
    picture = _at(cache, sha256, size, level, decode)
    window = picture[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
    return jpeg(np.ascontiguousarray(window))


def window(
    cache: Cache, sha256: str, size: tuple[int, int], box: Box, side: int, *, decode: Callable[[], Pixels]
) -> tuple[NDArray[np.uint8], int]:
    """A part of a picture from the largest level on which its longer side is at most `side` pixels.

    Args:
        cache, sha256, size, decode: as in `tile`.
        box: the part, in pixels of the full picture; what lies beyond its edge is left out.

    Returns:
        The pixels, of which one is so many (a power of two) of the full picture; its corner is that of the box divided
        by as many, rounded down.
    """
    steps = max(0, math.ceil(math.log2(max(box.width, box.height, 1) / side)))
    picture = level(cache, sha256, size, 1 << steps, decode=decode)
    left, top = max(box.x, 0) >> steps, max(box.y, 0) >> steps
    right, bottom = -((-box.right) >> steps), -((-box.bottom) >> steps)
    return np.ascontiguousarray(picture[top:bottom, left:right]), 1 << steps


def level(
    cache: Cache, sha256: str, size: tuple[int, int], factor: int, *, decode: Callable[[], Pixels]
) -> NDArray[np.uint8]:
    """The whole picture, `factor` times smaller (a power of two, at most its longer side); grey or RGB, on disk."""
    return _at(cache, sha256, size, top_level(*size) - (factor.bit_length() - 1), decode)


def _at(
    cache: Cache, sha256: str, size: tuple[int, int], level: int, decode: Callable[[], Pixels]
) -> NDArray[np.uint8]:
    file = cache.folder(sha256) / f"level-{level}.npy"
    try:
        return _load(file)
    except FileNotFoundError:
        pass
    with cache.making(sha256) as folder:
        if not file.exists():
            picture, current = to_8bit(decode()), top_level(*size)
            _save(picture, folder / f"level-{current}.npy")
            while current > 0:
                current -= 1
                picture = np.asarray(
                    cv2.resize(picture, level_size(*size, current), interpolation=cv2.INTER_AREA), np.uint8
                )
                _save(picture, folder / f"level-{current}.npy")
        return _load(file)


def _load(file: Path) -> NDArray[np.uint8]:
    picture: NDArray[np.uint8] = np.load(file, mmap_mode="r")
    return picture


def _save(picture: NDArray[np.uint8], file: Path) -> None:
    beside = file.with_name(f".{secrets.token_hex(4)}.npy")
    np.save(beside, picture)
    os.replace(beside, file)


def jpeg(picture: NDArray[np.uint8], *, quality: int = JPEG_QUALITY) -> bytes:
    """Grey or RGB as JPEG."""
    return _encode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])


def png(picture: NDArray[np.uint8]) -> bytes:
    """Grey or RGB as PNG, quickly rather than small."""
    return _encode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def _encode(ending: str, picture: NDArray[np.uint8], options: Sequence[int]) -> bytes:
    done, data = cv2.imencode(
        ending, picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options
    )
    if not done:
        raise Unavailable(f"a picture of shape {picture.shape} could not be written as {ending}")
    return data.tobytes()


def shrunk(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The picture with its longer side at most `side` pixels: each is the mean of those it stands for, nearly.

    Halved first, while that leaves three times as many along each side: means of 2 x 2 pixels take a fraction of the
    time. What is odd loses its last row or column each time, less than a pixel of the result.
    """
    scale = side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    while min(picture.shape[0] / size[1], picture.shape[1] / size[0]) >= 6:
        height, width = picture.shape[0] // 2, picture.shape[1] // 2
        halved = cv2.resize(picture[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
        picture = np.asarray(halved, np.uint8)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def class_mask(defects: Sequence[Mapping[str, Any]], instances: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """`H x W` class ids of the defects that count, from the stored rows; 0 elsewhere."""
    table = np.zeros(len(defects) + 1, np.uint8)
    for place, defect in enumerate(defects, start=1):
        table[place] = defect["class_id"] if defect["counts"] else 0
    return table[instances]


def overlay(
    pixels: Pixels, defects: Sequence[Mapping[str, Any]], instances: NDArray[np.uint16], *, fill: bool
) -> NDArray[np.uint8]:
    """The picture in RGB with its defects outlined (beside, not on, the blemish) or filled.

    Doubtful defects have thin outlines and are never filled, so that they are told apart without colour.
    """
    grey_or_rgb = to_8bit(pixels)
    picture = cv2.cvtColor(grey_or_rgb, cv2.COLOR_GRAY2RGB) if grey_or_rgb.ndim == 2 else grey_or_rgb.copy()
    thick = max(2, round(max(picture.shape[:2]) / 600))
    for place, defect in enumerate(defects, start=1):
        x, y, width, height = defect["bbox"]
        gap = 2 * thick
        left, top = max(x - gap, 0), max(y - gap, 0)
        window = np.s_[top : y + height + gap, left : x + width + gap]
        blob = (instances[window] == place).astype(np.uint8)
        colour = COLOURS[(defect["class_id"] - 1) % len(COLOURS)]
        if fill and defect["counts"]:
            part = picture[window]
            part[blob > 0] = (0.5 * part[blob > 0] + 0.5 * np.array(colour)).astype(np.uint8)
        line = thick if defect["counts"] else max(1, thick // 2)
        around = cv2.dilate(blob, np.ones((3, 3), np.uint8), iterations=gap - line)
        ring = cv2.dilate(around, np.ones((3, 3), np.uint8), iterations=line) - around
        picture[window][ring > 0] = colour
    return np.asarray(picture, np.uint8)
