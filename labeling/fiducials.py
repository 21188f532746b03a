"""Where one picture lies on another, by markers that both of them show: AprilTags on the part or on its fixture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.align import Floats, Grey, from_level, moved, shrunk

FAMILY = cv2.aruco.DICT_APRILTAG_36h11
"""Two tags of this family differ in 11 of 36 bits or more, so that grain and grooves are hardly ever read as one."""

CORNER_PX = 0.35
"""How far off a corner is found, one standard deviation, px of the picture that is searched."""

FARTHEST_PX = 6.0
"""Corners that are farther off than this contradict each other: a tag that moved, or that exists twice. Likewise px."""


@dataclass(frozen=True, slots=True)
class Marked:
    """Two views laid on each other by their markers."""

    matrix: Floats
    """3 x 3, from (x, y) of the first picture to (x, y) of the second."""
    markers: tuple[int, ...]
    """Numbers of the tags that it rests on."""
    spread_px: float
    """How far a carried point may be off, one standard deviation, px of the second picture; over the first frame."""


def markers(picture: Grey) -> dict[int, Floats]:
    """Tags on a picture: their number to their four corners, `4 x 2` (x, y); one that is there twice is left out."""
    settings = cv2.aruco.DetectorParameters()
    settings.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(FAMILY), settings)
    corners, numbers, _ = detector.detectMarkers(cv2.convertScaleAbs(picture))
    if numbers is None:
        return {}
    names = [int(n) for n in np.ravel(numbers)]
    return {
        name: np.asarray(place, np.float64).reshape(4, 2)
        for name, place in zip(names, corners, strict=True)
        if names.count(name) == 1
    }


def by_markers(one: Grey, two: Grey, base: int) -> Marked | None:
    """Lay the first picture on the second by the tags that both show; None where they share none, or contradict.

    One tag is enough for a homography; `spread_px` then says how little it knows of places far from it.

    Args:
        base: pictures are searched at this fraction of their size.
    """
    first, second = markers(shrunk(one, base)), markers(shrunk(two, base))
    both = sorted(first.keys() & second.keys())
    if not both:
        return None
    source, target = (np.concatenate([found[name] for name in both]) for found in (first, second))
    matrix, agree = cv2.findHomography(source, target, cv2.RANSAC, FARTHEST_PX)
    if matrix is None or len(held := np.flatnonzero(agree.ravel())) < max(4, len(source) / 2):
        return None
    whole = [name for k, name in enumerate(both) if {4 * k, 4 * k + 1, 4 * k + 2, 4 * k + 3} <= set(held.tolist())]
    if not whole:
        return None
    found = np.asarray(matrix, np.float64)
    spread = _spread(found, source[held], target[held], one.shape, two.shape, base)
    return Marked(from_level(found, base), tuple(whole), spread)


def _spread(
    matrix: Floats, source: Floats, target: Floats, shape: tuple[int, ...], onto: tuple[int, ...], base: int
) -> float:
    """How far a point of the first frame that lies on the second may be off, px of the second at full size.

    The covariance of the eight numbers of a least-squares homography, carried to a grid over the frame (first order;
    Hartley and Zisserman 2004, chapter 5). The corners' own error is `CORNER_PX`, or what is left of it after the fit
    where that is more.
    """
    scale = float(max(shape))
    unit = np.diag([scale / base, scale / base, 1.0])
    numbers = matrix @ unit
    left = moved(source, matrix) - target
    free = max(2 * len(source) - 8, 1)
    sigma = max(CORNER_PX, math.sqrt(float((left**2).sum()) / free))
    design = _slopes(numbers, source * base / scale)
    covariance = sigma**2 * np.linalg.pinv(design.T @ design)
    rows, columns = shape[0] / base, shape[1] / base
    grid = np.stack(np.meshgrid(np.linspace(0, columns, 17), np.linspace(0, rows, 17)), axis=-1).reshape(-1, 2)
    laid = moved(grid, matrix)
    inside = ((laid >= 0) & (laid < (onto[1] / base, onto[0] / base))).all(axis=1)
    if not inside.any():
        return math.inf
    there = _slopes(numbers, grid[inside] * base / scale).reshape(-1, 2, 8)
    variance = np.einsum("nij,jk,nik->n", there, covariance, there)
    return base * math.sqrt(float(variance.mean()))


def _slopes(numbers: Floats, points: Floats) -> NDArray[np.float64]:
    """`2n x 8`: how the places of points change with the numbers of a homography whose last one stays."""
    x, y = points.T
    depth = numbers[2, 0] * x + numbers[2, 1] * y + numbers[2, 2]
    u, v = moved(points, numbers).T
    zero, one = np.zeros_like(x), np.ones_like(x)
    across = np.stack([x, y, one, zero, zero, zero, -u * x, -u * y], axis=1) / depth[:, None]
    down = np.stack([zero, zero, zero, x, y, one, -v * x, -v * y], axis=1) / depth[:, None]
    return np.stack([across, down], axis=1).reshape(-1, 8)
