"""Where a picture lies on another: one homography from many small places, each of which says how well it would fit.

Metal looks different from every angle: a groove that is bright in one view is dark in the next, and highlights wander.
What stays is where brightness changes: edges, bevels, holes, engraving, grooves. So pictures are compared by their
`structure`, which does not know bright from dark. Every block of one picture is tried at all displacements within
reach (`surfaces`), and the homography is the one to which all blocks together agree best (`fit`). A block on straight
grooves knows its place across them only; as its whole surface counts, not its peak, it says no more than it knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.frame import Pixels

Floats = NDArray[np.float64]
Grey = NDArray[np.float32]

CELL_PX = 128
"""Side of the squares of the chessboard: the fit sees the even ones, the check the odd ones. In pixels of the size
at which the finest level works."""

PRIOR_PX = 3.0
"""Beyond shift, turn and scale, a homography moves the frame's corners by about this (one standard deviation): cameras
look at much the same plane. Weak, so that structure in all corners overrules it."""

PRIOR_WEIGHT = 0.3
"""What one standard deviation of `PRIOR_PX` costs, in the units of `surfaces`: as much as one faint block."""

FINER = 4
"""Surfaces are refined to quarters of a pixel before they are climbed; coarser grids hold the fit to whole pixels."""


@dataclass(frozen=True, slots=True)
class Surfaces:
    """For every block of a picture, how well it fits at each displacement. In pixels of the level."""

    centres: Floats
    """`n x 2`, (x, y) on the target."""
    fits: NDArray[np.float32]
    """`n x (2 reach + 1) x (2 reach + 1)`, rows are dy; -log(1 - r^2) for a correlation r > 0, else 0: the
    log-likelihood gained for each pixel by knowing the block, its gain and offset free."""
    reach: int
    shape: tuple[int, int]
    """Rows and columns of the target."""

    def only(self, use: NDArray[np.bool_]) -> Surfaces:
        """Those of some blocks."""
        return Surfaces(self.centres[use], self.fits[use], self.reach, self.shape)


def grey(pixels: Pixels) -> Grey:
    """`H x W` float32, 0 to 255, whatever the depth and the channels; NaN becomes 0."""
    full = float(np.iinfo(pixels.dtype).max) if np.issubdtype(pixels.dtype, np.integer) else 1.0
    flat = pixels.astype(np.float32) * np.float32(255.0 / full)
    return np.asarray(np.nan_to_num(flat.mean(axis=2) if flat.ndim == 3 else flat), np.float32)


def structure(picture: Grey) -> Grey:
    """Where brightness changes, on a logarithmic scale and less its surroundings; the same for bright and dark."""
    calm = cv2.GaussianBlur(picture, (0, 0), 1.2)
    rises = cv2.magnitude(cv2.Scharr(calm, cv2.CV_32F, 1, 0), cv2.Scharr(calm, cv2.CV_32F, 0, 1))
    steep: Grey = np.asarray(rises, np.float32)
    steep = np.log(steep + np.float32(0.5 * float(np.median(steep)) + 1e-3))
    return np.asarray(steep - cv2.GaussianBlur(steep, (0, 0), 12.0), np.float32)


def shrunk(picture: Grey, factor: int) -> Grey:
    """The picture at a whole fraction of its size."""
    if factor == 1:
        return picture
    size = max(picture.shape[1] // factor, 1), max(picture.shape[0] // factor, 1)
    cut = picture[: size[1] * factor, : size[0] * factor]
    return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.float32)


def to_level(matrix: Floats, factor: int) -> Floats:
    """A homography between full pictures as one between shrunk ones."""
    down = _down(factor)
    return np.asarray(down @ matrix @ np.linalg.inv(down))


def from_level(matrix: Floats, factor: int) -> Floats:
    """The inverse of `to_level`, with 1 in the last corner."""
    down = _down(factor)
    full = np.linalg.inv(down) @ matrix @ down
    return np.asarray(full / full[2, 2])


def _down(factor: int) -> Floats:
    middle = 0.5 / factor - 0.5
    return np.array([[1 / factor, 0, middle], [0, 1 / factor, middle], [0, 0, 1.0]])


def surfaces(
    source: Grey,
    target: Grey,
    matrix: Floats,
    *,
    block: int,
    step: int,
    reach: int,
    squares: tuple[float, int] | None = None,
) -> Surfaces:
    """How well each block of the source, laid on the target by `matrix`, fits there and around.

    Args:
        source, target: structures of the two pictures.
        matrix: from pixels of the source to those of the target.
        block: side of a block, px.
        step: from block to block, px.
        reach: tried displacements, px in x and in y.
        squares: side of the chessboard's squares, px, and 0 for blocks on even ones only, 1 for odd ones; None for all.
    """
    rows, columns = target.shape
    laid = cv2.warpPerspective(source, matrix, (columns, rows))
    there = cv2.warpPerspective(np.ones(source.shape, np.uint8), matrix, (columns, rows), flags=cv2.INTER_NEAREST)
    there = cv2.erode(there, np.ones((9, 9), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1)
    centres, fits = [], []
    for y in range(reach + 4, rows - block - reach - 3, step):
        for x in range(reach + 4, columns - block - reach - 3, step):
            place = np.s_[y : y + block, x : x + block]
            centre = x + block / 2 - 0.5, y + block / 2 - 0.5
            if squares is not None and sum(int(c // squares[0]) for c in centre) % 2 != squares[1]:
                continue
            if there[place].mean() < 0.98 or float(laid[place].std()) < 1e-3:
                continue
            around = target[y - reach : y + block + reach, x - reach : x + block + reach]
            match = np.clip(cv2.matchTemplate(around, laid[place], cv2.TM_CCOEFF_NORMED), 0.0, 0.999)
            fits.append(cv2.GaussianBlur(-np.log1p(-match * match), (0, 0), 0.7))
            centres.append(centre)
    side = 2 * reach + 1
    return Surfaces(
        np.array(centres, np.float64).reshape(-1, 2),
        np.array(fits, np.float32).reshape(-1, side, side),
        reach,
        (rows, columns),
    )


def moved(points: Floats, matrix: Floats) -> Floats:
    """`n x 2` points (x, y) under a homography."""
    laid = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(laid[:, :2] / laid[:, 2:])


def small_homography(numbers: Floats, shape: tuple[int, int]) -> Floats:
    """A homography near the identity: shift, turn, scale, two shears, two leans, each in px at the frame's corners."""
    rows, columns = shape
    far = 0.5 * float(np.hypot(rows, columns))
    right, down, turn, scale, one, two, lean_x, lean_y = numbers
    centre = np.array([[1, 0, -columns / 2], [0, 1, -rows / 2], [0, 0, 1.0]])
    middle = np.array(
        [
            [1 + (scale + one) / far, (two - turn) / far, right],
            [(two + turn) / far, 1 + (scale - one) / far, down],
            [lean_x / far**2, lean_y / far**2, 1.0],
        ]
    )
    return np.asarray(np.linalg.inv(centre) @ middle @ centre)


def fit(found: Surfaces, start: Floats, *, free: int, px: int) -> tuple[Floats, float]:
    """Climb to the displacements on which the blocks agree best.

    Levenberg-Marquardt on the sum of the surfaces; where a surface is no hill its curvature counts as none.

    Args:
        found: surfaces of the blocks.
        start: the 8 numbers of `small_homography`.
        free: how many of them may change: 2 shift, 4 turn and scale too, 8 all.
        px: pixels of the full picture in one of this level.

    Returns:
        The 8 numbers, and the sum of the surfaces there less what the prior costs.
    """
    reach, centres = found.reach, found.centres
    layers = _layers(found.fits, reach)

    def shift(numbers: Floats) -> Floats:
        return moved(centres, small_homography(numbers, found.shape)) - centres

    prior = np.zeros(free)
    prior[4:] = PRIOR_WEIGHT * (px / PRIOR_PX) ** 2
    half = 0.5 * np.eye(8)
    slopes = np.stack([shift(half[k]) - shift(-half[k]) for k in range(free)], axis=-1)
    best = np.array(start, np.float64)
    seen = _look(layers, shift(best), reach)
    height = float(seen[:, 0].sum()) - 0.5 * float((prior * best[:free] ** 2).sum())
    damping = 1e-3
    for _ in range(40):
        uphill = np.einsum("bin,bi->n", slopes, seen[:, 1:3]) - prior * best[:free]
        bend, axes = np.linalg.eigh(-seen[:, [3, 4, 4, 5]].reshape(-1, 2, 2))
        bend = np.einsum("bij,bj,bkj->bik", axes, np.maximum(bend, 0.0), axes)
        curve = np.einsum("bin,bij,bjm->nm", slopes, bend, slopes) + np.diag(prior)
        curve += np.eye(free) * (damping * float(np.trace(curve)) / free + 1e-9)
        step = np.linalg.solve(curve, uphill)
        step *= min(1.0, 1.5 / max(float(np.abs(step).max()), 1e-9))
        tried = best.copy()
        tried[:free] += step
        there = _look(layers, shift(tried), reach)
        higher = float(there[:, 0].sum()) - 0.5 * float((prior * tried[:free] ** 2).sum())
        if higher > height:
            best, seen, height, damping = tried, there, higher, max(damping / 4, 1e-6)
            if float(np.abs(step).max()) < 1e-3:
                break
        else:
            damping *= 5
            if damping > 1e4:
                break
    return best, height


def _layers(fits: NDArray[np.float32], reach: int) -> Floats:
    """`n x side x side x 6`: the surface on a finer grid, its slopes in x and y, its curvatures xx, xy, yy, per px."""
    steps = np.arange(2 * reach * FINER + 1, dtype=np.float32) / FINER
    x, y = np.meshgrid(steps, steps)
    fine = np.array([cv2.remap(f, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT) for f in fits], np.float64)
    dy, dx = np.gradient(fine, axis=(1, 2))
    dxy, dxx = np.gradient(dx, axis=(1, 2))
    dyy = np.gradient(dy, axis=1)
    return np.stack([fine, dx * FINER, dy * FINER, dxx * FINER**2, dxy * FINER**2, dyy * FINER**2], axis=-1)


def _look(layers: Floats, shifts: Floats, reach: int) -> Floats:
    """`n x 6`: the layers at each block's displacement, between the grid's points; 0 beyond reach."""
    place = np.clip(shifts + reach, 0, 2 * reach - 1e-6) * FINER
    whole = place.astype(np.int64)
    (right, down), (x, y) = (place - whole).T[..., None], whole.T
    row = np.arange(len(layers))
    upper = layers[row, y, x] * (1 - right) + layers[row, y, x + 1] * right
    lower = layers[row, y + 1, x] * (1 - right) + layers[row, y + 1, x + 1] * right
    seen = upper * (1 - down) + lower * down
    seen[(np.abs(shifts) > reach).any(axis=1)] = 0.0
    return np.asarray(seen)
