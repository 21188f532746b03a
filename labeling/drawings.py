"""Drawn shapes on a plane: how thick, how far apart, and how a hasty hand joins two of them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.geometry import Box

ASIDE_PX = (4.0, 64.0)
"""How far apart two defects are that one stroke may take together: nearer they are one, farther nobody joins them."""

TRIES = 20
"""Places tried for a second defect beside the first."""

CROSS = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))

Mask = NDArray[np.uint8]
Bits = NDArray[np.bool_]


def thickness(pixels: Bits) -> float:
    """Across a shape, in pixels: twice the mean distance to the edge along its middle, about."""
    padded = np.pad(pixels, 1).astype(np.uint8)
    return 2.0 * float(cv2.distanceTransform(padded, cv2.DIST_L2, 3).max())


def distance(one: Box, other: Box) -> float:
    """Between the nearest edges of two boxes, in pixels; 0 where they touch."""
    across = max(one.x - other.right, other.x - one.right, 0)
    along = max(one.y - other.bottom, other.y - one.bottom, 0)
    return float(np.hypot(across, along))


def join(one: tuple[Box, Bits], other: tuple[Box, Bits]) -> tuple[Box, Bits]:
    """Two drawings with a stroke between their nearest points, as wide as the thinner one: (box, pixels)."""
    from scipy.spatial.distance import cdist

    whole = one[0].around(other[0])
    joint = np.zeros((whole.height, whole.width), np.uint8)
    rims = []
    for box, pixels in (one, other):
        place = np.s_[box.y - whole.y : box.bottom - whole.y, box.x - whole.x : box.right - whole.x]
        joint[place] |= pixels.astype(np.uint8)
        rim = pixels & ~(cv2.erode(np.pad(pixels, 1).astype(np.uint8), CROSS)[1:-1, 1:-1] > 0)
        points = np.argwhere(rim) + np.array([box.y - whole.y, box.x - whole.x])
        rims.append(points[:: max(1, len(points) // 500)])
    near = np.unravel_index(int(cdist(rims[0], rims[1]).argmin()), (len(rims[0]), len(rims[1])))
    width = max(1, round(min(thickness(one[1]), thickness(other[1]))))
    start, end = rims[0][near[0]], rims[1][near[1]]
    cv2.line(joint, (int(start[1]), int(start[0])), (int(end[1]), int(end[0])), 1, width)
    return whole, joint > 0


def aside(box: Box, pixels: Bits, occupied: Bits, random: np.random.Generator) -> Box | None:
    """Where the same shape could lie once more beside itself: on the image, on nothing drawn, `ASIDE_PX` away.

    Args:
        pixels: `box.height x box.width`.
        occupied: `H x W`, where it must not lie.

    Returns:
        The box of the second one, or None where no place was found.
    """
    height, width = occupied.shape
    points = np.argwhere(pixels)[:, ::-1]
    for _ in range(TRIES):
        angle, gap = random.uniform(0.0, 2 * np.pi), random.uniform(*ASIDE_PX)
        way = np.array([np.cos(angle), np.sin(angle)])
        along = points @ way
        dx, dy = (int(v) for v in np.rint(way * (along.max() - along.min() + gap)))
        moved = box.shifted(dx=dx, dy=dy)
        if moved.x < 0 or moved.y < 0 or moved.right > width or moved.bottom > height:
            continue
        if not occupied[moved.y : moved.bottom, moved.x : moved.right][pixels].any():
            return moved
    return None
