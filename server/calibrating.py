"""Millimetres per pixel from a picture of a chessboard target whose squares have a known size.

The target is sent as a part of its own (REST, or the inbox) and lies in the plane of the parts. Its inner corners are
found to a fraction of a pixel, and a scale is fitted to the distances of neighbours. How much these differ from row to
row and column to column says how far the camera is from looking straight down, which one number cannot mend.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput
from qc.frame import Pixels, to_8bit

SEARCHED_AT = 1600
"""The target is looked for with this longer side at most, in px; its corners are then refined on the whole picture."""

HOW = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE
"""Lamps do not light a target evenly."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What a target says of its view."""

    mm_per_px: float
    spread: float
    """Largest difference of a row's or column's own scale from the whole, as a share; 0: it looks straight down."""
    corners: tuple[tuple[float, float], ...]
    """Inner corners found, `(x, y)` in px of the picture, row by row."""


def scale_of(pixels: Pixels, *, columns: int, rows: int, square_mm: float) -> Scale:
    """The scale of a view by a picture of the target.

    Args:
        pixels: `H x W` or `H x W x 3`, 8 or 16 bit.
        columns, rows: inner corners of the target, one less than its squares; each at least 3.
        square_mm: side of a square, in mm.

    Raises:
        InvalidInput: the target is not on the picture, or not all of it.
    """
    if min(columns, rows) < 3 or max(columns, rows) > 100:
        raise InvalidInput(f"a target has 3 to 100 inner corners a side, not {columns} x {rows}")
    if not 0 < square_mm < 10_000:
        raise InvalidInput(f"the side of a square is more than 0 and less than 10000 mm, not {square_mm}")
    shown = to_8bit(pixels)
    grey = shown if shown.ndim == 2 else np.asarray(cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY), np.uint8)
    smaller = min(1.0, SEARCHED_AT / max(grey.shape))
    small = cv2.resize(grey, None, fx=smaller, fy=smaller, interpolation=cv2.INTER_AREA) if smaller < 1 else grey
    found, near = cv2.findChessboardCorners(small, (columns, rows), flags=HOW)
    if not found:
        raise InvalidInput(
            f"no target of {columns} x {rows} inner corners is seen; it must lie on the picture as a whole, with a "
            "white edge, and one less corner is counted than squares"
        )
    corners = ((near + 0.5) / smaller - 0.5).astype(np.float32)
    steps = np.linalg.norm(np.diff(corners.reshape(rows, columns, 2), axis=1), axis=2)
    reach = max(2, min(20, int(steps.min() / 4)))  # px: no neighbouring corner comes into the window
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 40, 0.001)
    cv2.cornerSubPix(grey, corners, (reach, reach), (-1, -1), stop)  # in place
    grid = corners.reshape(rows, columns, 2).astype(np.float64)  # (rows, columns, x and y)
    across, down = _steps(grid, 1), _steps(grid, 0)
    side = float(np.mean(np.concatenate([across.ravel(), down.ravel()])))
    own = np.concatenate([across.mean(axis=1), down.mean(axis=0)])  # px a square, of each row and each column
    return Scale(
        mm_per_px=square_mm / side,
        spread=float(np.max(np.abs(own / side - 1))),
        corners=tuple((float(x), float(y)) for x, y in grid.reshape(-1, 2)),
    )


def _steps(grid: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Distances of neighbouring corners along an axis, in px."""
    return np.asarray(np.linalg.norm(np.diff(grid, axis=axis), axis=2))
