"""What a picture is like: how sharp, how noisy, how deep. What is drawn into it must be the same."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from qc.frame import Pixels, camera_bits
from segmentation.render.surface import Field

REBLURS_PX = (0.8, 1.8)
"""Blurs that are added on purpose, to see how much was there; the first one quietens the noise."""

SHARPEST = 0.4
"""The lens is judged by this quantile of the edges, the sharpest first; others are soft on the part itself."""

BLUR_LIMITS = (0.45, 4.0)
"""px; below it a pixel's own size hides the lens, above it nothing is in focus."""

SOBEL_PX = 0.7
"""By how much the slope operator and the pixel itself blur, which is no fault of the lens."""

BLOCK_PX = 12
"""Noise is looked for in squares of this side."""

WIDEST_LOOK_PX = 1536
"""Of a larger picture the middle is looked at, a square of this side: lens and sensor are the same elsewhere."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How the camera draws."""

    blur_px: float
    """Spread (standard deviation) of a point."""
    noise_floor: float
    """Variance of the noise in the dark, grey levels squared."""
    noise_slope: float
    """How much the variance grows with brightness, grey levels."""
    full: float
    """The brightest level that the camera gives."""

    def variance(self, level: Field) -> Field:
        """Of the noise at these brightnesses."""
        return np.asarray(self.noise_floor + self.noise_slope * np.maximum(level, 0.0), np.float32)


def look_at(pixels: Pixels, told: int | None = None) -> Likeness:
    """Measure a picture, `H x W` or `H x W x 3`, 8 or 16 bit; `told`: the camera's depth, where it is known."""
    grey = brightness(pixels.astype(np.float32))
    height, width = grey.shape
    top, left = max(0, (height - WIDEST_LOOK_PX) // 2), max(0, (width - WIDEST_LOOK_PX) // 2)
    grey = np.ascontiguousarray(grey[top : top + WIDEST_LOOK_PX, left : left + WIDEST_LOOK_PX])
    full = float((1 << camera_bits(pixels, told)) - 1)
    floor, slope = noise(grey, full)
    return Likeness(sharpness(grey, floor + slope * float(grey.mean()), full), floor, slope, full)


def brightness(pixels: Field) -> Field:
    """`H x W`: the mean of the colours."""
    return pixels if pixels.ndim == 2 else np.asarray(pixels.mean(axis=2), np.float32)


def soften(picture: Field, spread: float) -> Field:
    """Blurred by a Gaussian of this standard deviation, px."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), spread), np.float32)


def noise(grey: Field, full: float) -> tuple[float, float]:
    """Variance of the noise as floor + slope x brightness.

    What is left of a picture behind the operator [[1, -2, 1], [-2, 4, -2], [1, -2, 1]] is noise rather than edges
    (Immerkær 1996, doi:10.1006/cviu.1996.0060); the quietest tenth of the squares at each brightness counts, because
    others hold texture. On strong texture it comes out too high rather than too low, and never above the texture.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6.0
    left = np.asarray(cv2.filter2D(grey, -1, kernel) ** 2, np.float32)
    rows, columns = grey.shape[0] // BLOCK_PX, grey.shape[1] // BLOCK_PX
    if rows * columns < 4:
        return float(np.median(left)), 0.0
    size = (columns, rows)
    inner = np.s_[: rows * BLOCK_PX, : columns * BLOCK_PX]
    power, level = (
        np.asarray(cv2.resize(p[inner], size, interpolation=cv2.INTER_AREA), np.float64).ravel() for p in (left, grey)
    )
    usable = np.flatnonzero((level > 0.02 * full) & (level < 0.98 * full))
    if len(usable) < 4:
        return float(np.quantile(power, 0.1)), 0.0
    by_level = usable[np.argsort(level[usable], kind="stable")]
    bins = np.array_split(by_level, max(1, min(8, len(usable) // 20)))
    x = np.array([level[b].mean() for b in bins])
    y = np.array([np.quantile(power[b], 0.1) for b in bins])
    if len(bins) < 3 or np.ptp(x) < 0.1 * full:
        return float(np.median(y)), 0.0
    slope = float(np.clip(np.polyfit(x, y, 1)[0], 0.0, y.min() / max(float(x[y.argmin()]), 1e-6)))
    return max(0.0, float(np.median(y - slope * x))), slope


def sharpness(grey: Field, variance: float, full: float) -> float:
    """Spread of a point in px, from how much a further blur flattens the picture's edges.

    An edge with spread s, blurred by p and by q > p, has slopes in the ratio R = sqrt((s^2 + q^2) / (s^2 + p^2)), so
    that s^2 = (q^2 - R^2 p^2) / (R^2 - 1) (after Zhuo and Sim 2011, doi:10.1016/j.patcog.2011.03.009, eq. 5, which has
    p = 0). A picture without an edge that stands out of its noise is taken to be in focus. Within a fifth on edges;
    a picture that holds nothing but fine lines or grain comes out too sharp, at worst as if in focus.
    """

    def slope(picture: Field, blur: float) -> Field:
        soft = soften(picture, blur)
        return np.hypot(cv2.Sobel(soft, -1, 1, 0, scale=1 / 8), cv2.Sobel(soft, -1, 0, 1, scale=1 / 8))

    first, second = REBLURS_PX
    steep, flatter = slope(grey, first), slope(grey, second)
    crest = steep >= cv2.dilate(steep, np.ones((3, 3), np.uint8)) - 1e-6
    # a blur of 0.8 px leaves about an eighth of the noise in the slopes
    least = max(0.005 * full, 1.5 * float(np.sqrt(max(variance, 0.0))), float(np.quantile(steep, 0.97)))
    clipped = cv2.dilate(((grey >= 0.97 * full) | (grey <= 0.0)).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    edges = crest & (steep >= least) & ~clipped  # where light is cut off, the cut is sharper than any lens
    if edges.sum() < 20:
        return BLUR_LIMITS[0] + 0.25
    ratio2 = np.maximum((steep[edges] / np.maximum(flatter[edges], 1e-6)) ** 2, 1.0 + 1e-3)
    own2 = (second**2 - ratio2 * first**2) / (ratio2 - 1.0) - SOBEL_PX**2
    return float(np.clip(np.sqrt(max(float(np.quantile(own2, SHARPEST)), 0.0)), *BLUR_LIMITS))
