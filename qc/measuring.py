"""How long, how wide, which way, how bright: what can be measured on one connected blemish. In pixels of the frame.

A blemish is followed along its *centre line*: the longest way through its skeleton. Skeletons end somewhere between
half a width before the blemish does and its corners, so both ends are cut off and the line goes on straight until it
leaves the blemish. What is straight or compact is measured along its main axis instead, which is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.frame import camera_bits
from qc.skeleton import longest_way, thinned

Floats = NDArray[np.float64]

SMOOTHING = 7
"""Points of a curve that are averaged before it is measured: steps from pixel to pixel make a slanted line up to 8 %
too long; seven steps bring that under 2 % and make a bend of 8 px radius 3 % too short."""

COMPACT = 1.5
"""A line shorter than this many widths has no course of its own; it is measured along its main axis."""

STRAIGHT_PX = 1.0
"""A line that stays this close to its chord (or within a tenth of its width) is straight: pixels are no finer."""

LONGEST_SIDE = 1024
"""Blobs with a longer side are measured on a coarser grid: thinning takes time in proportion to area times width."""

GAP_PX, RING_PX = 2, 4
"""Contrast compares with a ring around a blemish that starts behind its blurred rim and is this much wide."""


@dataclass(frozen=True, slots=True)
class Course:
    """Where a blemish runs."""

    length_px: float
    """Along the centre line, from edge to edge; the whole way around where it is a closed ring."""
    width_px: float
    """Across the centre line, averaged along it and along its branches: area over their length."""
    angle_deg: float | None
    """From the rows' direction, counter-clockwise as seen, in [0, 180); None where it is as wide as long, or a ring."""
    line: tuple[tuple[float, float], ...]
    """The centre line as `(x, y)` in pixels of the blob, from end to end."""


def course(blob: NDArray[np.bool_]) -> Course:
    """Follow a blemish, `H x W` with at least one pixel.

    Source:
        The skeleton is Lee et al. 1994 (doi:10.1006/cgip.1994.1042); that of Zhang and Suen loses half of a line
        that runs at 45 degrees. The longest way is found by two sweeps of Dijkstra, exact for a skeleton without
        loops; where it runs into a loop it goes on around it. Against drawn lines, arcs, waves and rings of 1 to 9 px
        width: within a pixel, or 2 % of the length. Limit: a bend tighter than twice the width comes out up to a third
        too short.
    """
    step = -(-max(blob.shape) // LONGEST_SIDE)
    if step > 1:
        coarse = course(_coarser(blob, step))
        line = tuple((x * step + (step - 1) / 2, y * step + (step - 1) / 2) for x, y in coarse.line)
        length = coarse.length_px * step
        width = coarse.width_px * step * (blob.sum() / (step * step * max(_coarser(blob, step).sum(), 1)))
        return Course(length, float(width), coarse.angle_deg, line)

    rows, columns = np.nonzero(blob)
    area = len(rows)
    along, across, direction = _main_axis(rows, columns)
    if area < 4:
        return Course(along, area / along, _angle(direction) if along > across else None, _chord(rows, columns))
    padded = np.pad(blob, 1)
    distance = cv2.distanceTransform(padded.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE).astype(np.float64)
    bones = thinned(padded)
    if not bones.any():
        bones = distance == distance.max()
    points, closed, aside = longest_way(bones)
    places = points.astype(np.intp)
    local_width = float(2.0 * np.median(distance[places[:, 0], places[:, 1]]) - 1.0)
    smooth = _smoothed(points, closed=closed)
    if closed:
        length = _length(smooth)
        return Course(length, area / length, None, _line(smooth))
    branches = aside if aside > 2 * local_width else 0.0
    bent = _deviation(smooth) > max(STRAIGHT_PX, 0.1 * local_width)
    if not bent or _length(smooth) < COMPACT * local_width:
        length, thick = max(along, across), min(along, across)
        angle = _angle(direction) if length > 1.2 * thick else None
        return Course(length, area / (length + branches), angle, _chord(rows, columns))
    smooth = _to_the_edges(smooth, padded, local_width)
    length = _length(smooth)
    return Course(length, area / (length + branches), _angle(smooth[-1] - smooth[0]), _line(smooth))


def contrast(
    pixels: NDArray[np.uint8] | NDArray[np.uint16],
    blob: NDArray[np.bool_],
    *,
    x: int = 0,
    y: int = 0,
    bits: int | None = None,
) -> float:
    """How much brighter a blemish is than its surroundings: median inside less median around, over full scale.

    Args:
        pixels: the frame, `H x W` or `H x W x 3`, 8 or 16 bit; colours are averaged.
        blob: which pixels, `h x w`, with its first pixel at `(x, y)` of the frame.
        bits: the camera's depth, which is full scale; None: as `camera_bits` judges it from the whole frame.

    Returns:
        In [-1, 1]; dark blemishes are negative; 0 where it has no surroundings on the frame. "Around" is a ring of
        `RING_PX`, `GAP_PX` away. Other blemishes in the ring are not left out: the median forgives them.
    """
    margin = GAP_PX + RING_PX
    height, width = blob.shape
    top, left = max(y - margin, 0), max(x - margin, 0)
    window = pixels[top : y + height + margin, left : x + width + margin]
    grey = window.mean(axis=2) if window.ndim == 3 else window.astype(np.float64)
    own = np.zeros(grey.shape, np.uint8)
    own[y - top : y - top + height, x - left : x - left + width] = blob
    near, far = (cv2.dilate(own, np.ones((2 * r + 1, 2 * r + 1), np.uint8)) for r in (GAP_PX, margin))
    around = (far > 0) & (near == 0)
    if not around.any():
        return 0.0
    full = float((1 << (camera_bits(pixels) if bits is None else bits)) - 1)
    return float((np.median(grey[own > 0]) - np.median(grey[around])) / full)


def _coarser(blob: NDArray[np.bool_], step: int) -> NDArray[np.bool_]:
    """Blocks of `step x step` that hold any pixel: a thin line stays whole, and its width is corrected by area."""
    height, width = (-(-side // step) * step for side in blob.shape)
    padded = np.pad(blob, ((0, height - blob.shape[0]), (0, width - blob.shape[1])))
    return np.asarray(padded.reshape(height // step, step, width // step, step).any(axis=(1, 3)), np.bool_)


def _main_axis(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> tuple[float, float, Floats]:
    """Extent along the direction of largest variance and across it, and that direction (y, x).

    Centres of pixels end short of the edge: by half a pixel on average where the edge runs along the grid, by less
    where it is slanted and meets `k` more rows, namely by `1 / (k + 2)`, the mean of the smallest of `k + 1` gaps.
    """
    points = np.stack([rows, columns], axis=1).astype(np.float64)
    points -= points.mean(axis=0)
    _, directions = np.linalg.eigh(points.T @ points)
    axis, normal = directions[:, 1], directions[:, 0]
    along, across = float(np.ptp(points @ axis)), float(np.ptp(points @ normal))
    slant = float(np.abs(axis).min() / np.abs(axis).max())
    return along + 2 / (2 + slant * across), across + 2 / (2 + slant * along), axis


def _angle(direction: Floats) -> float:
    """Of a `(y, x)` direction; rows grow downwards, so up is negative y."""
    return round(math.degrees(math.atan2(-direction[0], direction[1])) % 180.0, 2) % 180.0


def _chord(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> tuple[tuple[float, float], ...]:
    """The main axis, from the first pixel along it to the last."""
    _, _, axis = _main_axis(rows, columns)
    points = np.stack([rows, columns], axis=1).astype(np.float64)
    middle = points.mean(axis=0)
    reach = (points - middle) @ axis
    return _line(np.array([middle + reach.min() * axis, middle + reach.max() * axis]), offset=0.0)


def _line(points: Floats, *, offset: float = -1.0) -> tuple[tuple[float, float], ...]:
    return tuple((float(x) + offset, float(y) + offset) for y, x in points)


def _length(points: Floats) -> float:
    return float(np.hypot(*np.diff(points, axis=0).T).sum())


def _smoothed(points: Floats, *, closed: bool) -> Floats:
    size = min(SMOOTHING, len(points))
    if closed:
        ring = _averaged(points, size, "wrap")
        return np.concatenate([ring, ring[:1]])
    smooth = _averaged(points, size, "edge")
    smooth[[0, -1]] = points[[0, -1]]
    return smooth


def _averaged(points: Floats, size: int, beyond: Literal["wrap", "edge"]) -> Floats:
    """Means over `size` neighbours along the curve; `beyond` its ends it goes on around, or stays at the end."""
    longer = np.pad(points, ((size // 2, size - size // 2 - 1), (0, 0)), mode=beyond)
    means: Floats = np.lib.stride_tricks.sliding_window_view(longer, size, axis=0).mean(axis=-1)
    return means


def _deviation(points: Floats) -> float:
    """The largest distance of a point from the chord between the ends."""
    chord = points[-1] - points[0]
    size = float(np.hypot(*chord))
    if size == 0:
        return float(np.hypot(*(points - points[0]).T).max())
    return (
        float(np.abs(chord[0] * (points[:, 1] - points[0, 1]) - chord[1] * (points[:, 0] - points[0, 0])).max()) / size
    )


def _to_the_edges(points: Floats, mask: NDArray[np.bool_], width: float) -> Floats:
    """Cut about a width off each end, where a skeleton turns into corners, and go on straight to the blob's edge."""
    for _ in range(2):  # one end, then the other
        walked = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
        cut = int(np.searchsorted(walked, min(width, walked[-1] / 4)))
        back = int(np.searchsorted(walked, walked[cut] + max(width, 4.0)))
        heading = points[cut] - points[min(back, len(points) - 1)]
        heading = heading / max(float(np.hypot(*heading)), 1e-9)
        reach = np.arange(0.0, 4 * width + 8, 0.25)
        path = np.rint(points[cut] + reach[:, None] * heading).astype(np.intp)
        inside = ((path >= 0) & (path < mask.shape)).all(axis=1)
        inside[inside] = mask[path[inside, 0], path[inside, 1]]
        left = int(np.argmin(inside)) if not inside.all() else len(inside) - 1
        tip = points[cut] + reach[left] * heading
        points = np.concatenate([tip[None], points[cut:]])[::-1]
    return points
