"""Planes of half precision, compared by their bits.

numpy makes each number a float of 32 bit before it compares; as integers the same numbers are compared twenty times as
fast, and a frame of 12 Mpx is compared several times. IEEE 754 orders numbers of one sign as the integers of their
bits: upwards where they are positive, downwards where they are negative.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_INFINITE = 0x7C00
"""The bits of infinity; without the sign, larger ones are no number."""
_SIGN = 0x8000


def at_least(plane: NDArray[np.float16], level: float) -> NDArray[np.bool_]:
    """`plane >= np.float16(level)`; False where it holds no number (NaN)."""
    limit, signed = np.float16(level), plane.view(np.int16)
    if signed.size == 0 or int(signed.max()) > _INFINITE:
        return np.asarray(plane >= limit)
    if limit > 0:
        return np.asarray(signed >= limit.view(np.int16))
    return np.asarray(plane.view(np.uint16) <= (limit.view(np.uint16) | np.uint16(_SIGN)))  # 0 has two


def highest(plane: NDArray[np.float16]) -> float:
    """`float(plane.max())`: NaN where one of the numbers is none. Raises ValueError for an empty plane."""
    up, away = int(plane.view(np.int16).max()), int(plane.view(np.uint16).max())
    if up > _INFINITE or away > _INFINITE | _SIGN:
        return math.nan
    bits = np.uint16(up) if up >= 0 else plane.view(np.uint16).min()  # none is positive: the nearest to 0
    return float(bits.view(np.float16))


def place_of_highest(plane: NDArray[np.float16]) -> int:
    """Where the first of the highest lies in the flattened plane, as `plane.argmax()`; of a plane without NaN."""
    bits, top = plane.view(np.uint16), np.float16(highest(plane)).view(np.uint16)
    same = bits == top if top & ~np.uint16(_SIGN) else (bits & ~np.uint16(_SIGN)) == 0
    return int(same.argmax())
