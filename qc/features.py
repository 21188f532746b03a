"""What an encoder makes of an image and of each defect: its cells, averaged.

A vector is comparable with others of the same encoder only. It is stored as float16, little endian: 2 bytes a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput
from qc.geometry import Box

Vector = NDArray[np.float32]

LARGEST = 65504.0
"""The largest float16; what lies beyond is stored as this."""


@dataclass(frozen=True, slots=True)
class Features:
    """The vectors of one image."""

    image: Vector | None
    """`C`: the mean over the cells of the sample, or over every cell that was looked at; None where none was."""
    defects: tuple[Vector | None, ...]
    """`C` each, in the order of the defects: the mean over the cells a defect touches, weighted by its pixels there."""


def pooled(
    cells: NDArray[np.float16],
    instances: NDArray[np.uint16],
    boxes: Sequence[Box],
    *,
    cell_px: int,
    sample: Box | None = None,
) -> Features:
    """The vectors of an image and of its defects.

    Args:
        cells: `C x h x w`, what the encoder makes of each square of `cell_px` pixels; NaN where nobody looked.
        instances: `H x W`: 0 background, else 1 + the place of the pixel's defect.
        boxes: of the defects, in their order.
        cell_px: side of a cell, in pixels.
        sample: what stands for the frame where not all of it was looked at, so that frames can be compared.
    """
    looked = np.isfinite(cells[0])
    image, shown = None, cells if sample is None else cells[:, *_touched(sample, cell_px)]
    seen = np.isfinite(shown[0])
    if seen.all():
        image = shown.mean(axis=(1, 2), dtype=np.float32)
    elif seen.any():
        image = shown[:, seen].mean(axis=1, dtype=np.float32)
    found: list[Vector | None] = []
    for number, box in enumerate(boxes, start=1):
        ys, xs = np.nonzero(instances[box.y : box.bottom, box.x : box.right] == number)
        top, left = box.y // cell_px, box.x // cell_px
        bottom, right = -(-box.bottom // cell_px), -(-box.right // cell_px)
        weight = np.zeros((bottom - top, right - left), np.float32)
        np.add.at(weight, ((ys + box.y) // cell_px - top, (xs + box.x) // cell_px - left), 1.0)
        weight *= looked[top:bottom, left:right]
        if weight.sum() == 0:
            found.append(None)
            continue
        some = np.nan_to_num(cells[:, top:bottom, left:right].astype(np.float32))
        found.append(np.tensordot(some, weight / weight.sum(), axes=2).astype(np.float32))
    return Features(image, tuple(found))


def _touched(box: Box, cell_px: int) -> tuple[slice, slice]:
    rows = slice(box.y // cell_px, -(-box.bottom // cell_px))
    return rows, slice(box.x // cell_px, -(-box.right // cell_px))


def to_bytes(vector: Vector) -> bytes:
    """A vector as it is stored."""
    return np.clip(vector, -LARGEST, LARGEST).astype("<f2").tobytes()


def from_bytes(data: bytes) -> Vector:
    """A stored vector; raises InvalidInput for an odd number of bytes."""
    if not data or len(data) % 2:
        raise InvalidInput(f"{len(data)} bytes are no vector of half-precision numbers")
    return np.frombuffer(data, "<f2").astype(np.float32)
