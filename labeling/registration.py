"""Do two pictures show the same piece of metal, and where does each pixel of one lie on the other?

Ways, in this order: a homography that the user gives (`qc.given`); markers that both views show (`labeling.fiducials`);
the part lying as in the other view, or shifted; and where that does not hold, matched features or the outline of the
part. Each is only a start, and refined by `labeling.align`. Whatever the way, the answer is checked on squares of the
pictures that took no part in finding it; "these views cannot be registered" is an answer. Where nothing else can be
compared, on polished metal, markers are believed alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from scipy.special import chdtrc

from labeling.align import (
    CELL_PX,
    Floats,
    Grey,
    Surfaces,
    fit,
    from_level,
    grey,
    moved,
    shrunk,
    small_homography,
    structure,
    surfaces,
    to_level,
)
from labeling.fiducials import Marked, by_markers
from qc.frame import Pixels
from qc.given import GIVEN_SPREAD_PX

CHANCE = 1e-3
"""Pictures that have nothing to do with each other agree as well as this once in a thousand pairs; then they are taken
for registered although they are not."""

FEWEST_CELLS = 5
"""Squares to check on; with fewer even a perfect answer proves nothing."""

NEAR_PX = 3.0
"""A square agrees when it fits best within so much of where it should lie; labels are drawn no more exactly."""

LEAST_OVERLAP = 0.25
"""Share of a picture that must lie on the other."""

FEWEST_MATCHES = 15
"""Features that agree on a homography; random ones reach about 10 of thousands."""

MARKED_SPREAD_PX = 2 * NEAR_PX
"""Markers that nothing else confirms are believed where they say better than this where a point lies, on average over
the frame. At the finest level; one small tag in a corner says less."""

LARGEST_PX = 1600
"""The finest level works on pictures whose longer side is at most this; labels are not drawn finer."""


class Way(StrEnum):
    """What a registration started from."""

    GIVEN = "given homography"
    MARKERS = "markers"
    FIXTURE = "structure, from the fixture"
    SHIFT = "structure, from a shift"
    FEATURES = "features"
    CONTOUR = "contour"
    THROUGH = "through a third view"


@dataclass(frozen=True, slots=True)
class Quality:
    """How far the squares that took no part agree."""

    cells: int
    """Squares that were looked at."""
    agree: float
    """Share in [0, 1] that fits best within `NEAR_PX` of where it should."""
    off_px: float
    """Median distance between where a square should lie and where it fits best, px. Straight grooves cannot tell their
    place along themselves, so that on brushed metal this is larger than the error."""
    chance: float
    """Chance that pictures that have nothing in common agree as well (Fisher's method over the squares)."""
    overlap: float
    """Share of the first picture that lies on the second, in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Registration:
    """Where the pixels of one picture lie on another."""

    matrix: Floats
    """3 x 3, from (x, y) of the first picture to (x, y) of the second; pixel centres are whole numbers."""
    way: Way
    quality: Quality | None
    """None where it was not checked: through a third view, or given and the pictures are too small or too smooth, or by
    markers alone."""
    spread_px: float
    """How far a carried point may be off, one standard deviation, px of the second picture."""

    @property
    def back(self) -> Registration:
        """From the second picture to the first; the quality is as measured the other way round."""
        matrix = np.linalg.inv(self.matrix)
        return Registration(matrix / matrix[2, 2], self.way, self.quality, self.spread_px)

    def then(self, further: Registration) -> Registration:
        """From the first picture to a third, by way of the second; not checked by itself."""
        matrix = further.matrix @ self.matrix
        spread = math.hypot(self.spread_px, further.spread_px)
        return Registration(np.asarray(matrix / matrix[2, 2]), Way.THROUGH, None, spread)


@dataclass(frozen=True, slots=True)
class Refusal:
    """These views cannot be registered."""

    why: str
    quality: Quality | None = None


def register(
    first: Pixels, second: Pixels, *, given: Floats | None = None, spread_px: float = GIVEN_SPREAD_PX
) -> Registration | Refusal:
    """Lay the first picture on the second.

    Args:
        first, second: pictures of the same part, `H x W` or `H x W x 3`, of any size.
        given: a homography that is known; it is checked and reported, never refused or changed.
        spread_px: how far the given one may be off.

    Returns:
        The registration; or why there is none.
    """
    one, two = grey(first), grey(second)
    base = 2 ** max(0, math.ceil(math.log2(max(*one.shape, *two.shape) / LARGEST_PX)))
    pictures = {f: (structure(shrunk(one, f)), structure(shrunk(two, f))) for f in (base, 2 * base, 4 * base)}
    if given is not None:
        quality, _ = _check(pictures[base], given, base, first.shape)
        return Registration(given, Way.GIVEN, quality, spread_px)
    refusal = Refusal("the pictures are too small, or too smooth, to be compared")
    marked = by_markers(one, two, base)
    if min(_squares(first.shape, base), _squares(second.shape, base)) < FEWEST_CELLS:
        return _by_markers_alone(marked, base) or refusal
    for starts in (_marked_starts(marked), _near_starts(*pictures[4 * base], 4 * base), _far_starts(one, two, base)):
        start = _best_start(starts, *pictures[4 * base], base)
        answer = refusal if start is None else _from_start(*start, pictures, base, first.shape, second.shape)
        if isinstance(answer, Registration):
            return answer
        if start is not None:
            refusal = answer
    return _by_markers_alone(marked, base) or refusal


def _marked_starts(marked: Marked | None) -> Iterator[tuple[Way, Floats]]:
    if marked is not None:
        yield Way.MARKERS, marked.matrix


def _by_markers_alone(marked: Marked | None, base: int) -> Registration | None:
    """What the markers say where structure says nothing, or nothing that agrees with itself."""
    if marked is None or marked.spread_px > MARKED_SPREAD_PX * base:
        return None
    return Registration(marked.matrix, Way.MARKERS, None, marked.spread_px)


def _from_start(
    matrix: Floats,
    way: Way,
    pictures: Mapping[int, tuple[Grey, Grey]],
    base: int,
    shape: tuple[int, ...],
    onto: tuple[int, ...],
) -> Registration | Refusal:
    """Refine on the even squares, check on the odd ones, then refine on all."""
    half = whole = matrix
    for factor, block, reach, stages in ((2 * base, 56, 8, (4, 8)), (base, 60, 5, (8,))):
        seen = surfaces(*pictures[factor], to_level(half, factor), block=block, step=64, reach=reach)
        even = np.floor(seen.centres * (factor // base) / CELL_PX).sum(axis=1) % 2 == 0
        if even.sum() < FEWEST_CELLS:
            return Refusal("the pictures are too small, or overlap too little, to be compared")
        numbers: Floats = np.zeros(8)
        for free in stages:
            numbers, _ = fit(seen.only(even), numbers, free=free, px=factor)
        both, _ = fit(seen, numbers, free=8, px=factor)
        whole = _refined(both, seen, half, factor)
        half = _refined(numbers, seen, half, factor)
    quality, spread = _check(pictures[base], half, base, shape)
    if quality is None:
        return Refusal("the pictures overlap too little to check where they lie on each other")
    if quality.overlap < LEAST_OVERLAP:
        return Refusal(f"only {quality.overlap:.0%} of one picture would lie on the other", quality)
    if quality.chance > CHANCE:
        return Refusal(
            f"what they show does not agree: {quality.agree:.0%} of {quality.cells} squares fit within {NEAR_PX:g} px, "
            f"as for unrelated pictures (chance {quality.chance:.2g})",
            quality,
        )
    rows, columns = onto[:2]
    corners = np.array([[0, 0], [columns, 0], [0, rows], [columns, rows]], np.float64)
    apart = moved(moved(corners, np.asarray(np.linalg.inv(half), np.float64)), whole) - corners
    return Registration(whole, way, quality, math.hypot(spread, float(np.median(np.hypot(*apart.T)))))


def _squares(shape: tuple[int, ...], base: int) -> int:
    """How many odd squares hold a block that can be checked (`_check`), where two pictures overlap whole."""
    rows, columns = (
        [(start + 29.5) // CELL_PX for start in range(12, side // base - 71, 64)] for side in (shape[0], shape[1])
    )
    return len({(row, column) for row in rows for column in columns if (row + column) % 2 == 1})


def _refined(numbers: Floats, seen: Surfaces, matrix: Floats, factor: int) -> Floats:
    return from_level(small_homography(numbers, seen.shape) @ to_level(matrix, factor), factor)


def _best_start(starts: Iterable[tuple[Way, Floats]], one: Grey, two: Grey, base: int) -> tuple[Floats, Way] | None:
    """The start on which the even squares agree best at a quarter of the size, with its first refinement."""
    factor = 4 * base
    best: tuple[float, Floats, Way] | None = None
    for way, matrix in starts:
        even = (CELL_PX / 4, 0)
        seen = surfaces(one, two, to_level(matrix, factor), block=32, step=32, reach=12, squares=even)
        if (count := len(seen.centres)) < FEWEST_CELLS:
            continue
        total = seen.fits.sum(axis=0)
        down, right = np.unravel_index(int(total.argmax()), total.shape)
        numbers: Floats = np.zeros(8)
        numbers[:2] = right - seen.reach, down - seen.reach
        for free in (2, 4):
            numbers, height = fit(seen, numbers, free=free, px=factor)
        height /= math.sqrt(count)  # more blocks agree by chance, too
        if best is None or height > best[0]:
            best = height, _refined(numbers, seen, matrix, factor), way
    return None if best is None else best[1:]


def _near_starts(one: Grey, two: Grey, factor: int) -> Iterator[tuple[Way, Floats]]:
    """As it lies in the other view, and shifted as a whole."""
    yield Way.FIXTURE, np.eye(3)
    rows, columns = (max(a, b) for a, b in zip(one.shape, two.shape, strict=True))
    sheets = np.zeros((2, rows, columns), np.float32)
    for sheet, picture in zip(sheets, (one, two), strict=True):
        sheet[: picture.shape[0], : picture.shape[1]] = picture
    (right, down), _ = cv2.phaseCorrelate(sheets[0], sheets[1], cv2.createHanningWindow((columns, rows), cv2.CV_32F))
    yield Way.SHIFT, np.array([[1, 0, right * factor], [0, 1, down * factor], [0, 0, 1.0]])


def _far_starts(one: Grey, two: Grey, base: int) -> Iterator[tuple[Way, Floats]]:
    """Turned and scaled at will: what takes longer, and is tried where the near ones fail."""
    if (by_features := _features(shrunk(one, base), shrunk(two, base))) is not None:
        yield Way.FEATURES, from_level(by_features, base)
    for by_contour in _contours(shrunk(one, 4 * base), shrunk(two, 4 * base)):
        yield Way.CONTOUR, from_level(by_contour, 4 * base)


def _features(one: Grey, two: Grey) -> Floats | None:
    """A homography from SIFT features (Lowe 2004) and MAGSAC++ (Barath et al. 2020), or None."""
    described = []
    for picture in (one, two):
        detail: Grey = np.asarray(picture - cv2.GaussianBlur(picture, (0, 0), 12.0), np.float32)
        detail = detail / (np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), 12.0)) + np.float32(1.0))
        sharp = cv2.convertScaleAbs(np.clip(detail * 40.0 + 128.0, 0.0, 255.0))
        described.append(
            cv2.SIFT.create(nfeatures=2500, contrastThreshold=0.02).detectAndCompute(
                sharp, np.full(sharp.shape, 255, np.uint8)
            )
        )
    (places, words), (there, others) = described
    if words is None or others is None or min(len(words), len(others)) < FEWEST_MATCHES:
        return None
    pairs = [m for m in cv2.BFMatcher(cv2.NORM_L2).knnMatch(words, others, k=2) if len(m) == 2]
    near = [a for a, b in pairs if a.distance < 0.85 * b.distance]
    if len(near) < FEWEST_MATCHES:
        return None
    source = np.array([places[m.queryIdx].pt for m in near], np.float32)
    target = np.array([there[m.trainIdx].pt for m in near], np.float32)
    matrix, agree = cv2.findHomography(source, target, cv2.USAC_MAGSAC, 2.0, maxIters=5000, confidence=0.999)
    if matrix is None or int(agree.sum()) < FEWEST_MATCHES:
        return None
    found = np.asarray(matrix, np.float64)
    return found if _sane(found, one.shape) else None


def _sane(matrix: Floats, shape: tuple[int, ...]) -> bool:
    """Does a frame stay a frame: not mirrored, not folded, at most three times larger or smaller?"""
    rows, columns = shape[:2]
    corners = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float64)
    if (np.column_stack([corners, np.ones(4)]) @ matrix[2] <= 0).any():
        return False
    laid = moved(corners, matrix)
    edges = np.roll(laid, -1, axis=0) - laid
    turns = edges[:, 0] * np.roll(edges[:, 1], -1) - edges[:, 1] * np.roll(edges[:, 0], -1)
    area = 0.5 * abs(float(np.sum(laid[:, 0] * np.roll(laid[:, 1], -1) - laid[:, 1] * np.roll(laid[:, 0], -1))))
    return bool((turns > 0).all()) and 1 / 9 < area / (rows * columns) < 9


def _contours(one: Grey, two: Grey) -> Iterator[Floats]:
    """Where the part's outline lies on that of the other picture: centre, size and turn, and turned by half.

    Only for parts that lie whole before a background that is darker or lighter (Otsu 1979).
    """
    outlines = [_outline(picture) for picture in (one, two)]
    if outlines[0] is None or outlines[1] is None:
        return
    (centre, size, angle), (centre_2, size_2, angle_2) = outlines[0], outlines[1]
    for half in (0.0, math.pi):
        turn, scale = angle_2 - angle + half, size_2 / size
        c, s = scale * math.cos(turn), scale * math.sin(turn)
        matrix = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
        matrix[:2, 2] = centre_2 - matrix[:2, :2] @ centre
        yield matrix


def _outline(picture: Grey) -> tuple[Floats, float, float] | None:
    """Centre (px), size (root of the area, px) and direction (radians) of the part, or None."""
    flat = cv2.GaussianBlur(cv2.convertScaleAbs(picture), (5, 5), 0)
    _, mask = cv2.threshold(flat, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    mask = mask if (rim > 0).mean() < 0.5 else cv2.bitwise_not(mask)
    number, labels, stats, centres = cv2.connectedComponentsWithStats(mask)
    if number < 2:
        return None
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    x, y, wide, high, area = (int(v) for v in stats[largest])
    inside = x > 0 and y > 0 and x + wide < mask.shape[1] and y + high < mask.shape[0]
    if not inside or area < 0.05 * mask.size:
        return None
    moment = cv2.moments((labels == largest).astype(np.uint8), binaryImage=True)
    angle = 0.5 * math.atan2(2 * moment["mu11"], moment["mu20"] - moment["mu02"])
    return np.asarray(centres[largest], np.float64), math.sqrt(area), angle


def _check(level: tuple[Grey, Grey], matrix: Floats, base: int, shape: tuple[int, ...]) -> tuple[Quality | None, float]:
    """How well the odd squares fit where the homography puts them, and how far off they are where they agree, px.

    For each square, the share of all displacements within reach that fit at least as well is uniform if the pictures
    have nothing in common; Fisher's method joins the squares.
    """
    seen = surfaces(*level, to_level(matrix, base), block=60, step=64, reach=8, squares=(CELL_PX, 1))
    side = 2 * CELL_PX if min(level[1].shape) >= 6 * CELL_PX else CELL_PX  # larger ones say more, where there is room
    places = np.floor(seen.centres / side).astype(np.int64)
    cells: dict[tuple[int, int], list[int]] = {}
    for k, (column, row) in enumerate(places.tolist()):
        cells.setdefault((column, row), []).append(k)
    if len(cells) < FEWEST_CELLS:
        return None, 0.0
    shares, off = [], []
    for blocks in cells.values():
        fits = seen.fits[blocks].sum(axis=0)
        near = cv2.dilate(fits, np.ones((3, 3), np.uint8))
        shares.append(((near >= near[seen.reach, seen.reach]).sum() - 0.5) / near.size)
        down, right = np.unravel_index(int(fits.argmax()), fits.shape)
        off.append(base * math.hypot(right - seen.reach, down - seen.reach))
    chance = float(chdtrc(2 * len(shares), -2.0 * np.log(shares).sum()))  # of a chi-squared number: Fisher's method
    close = [o for o in off if o <= NEAR_PX * base]
    rows, columns = shape[:2]
    grid = (
        np.stack(np.meshgrid(np.linspace(0, columns, 33), np.linspace(0, rows, 33)), axis=-1)
        .reshape(-1, 2)
        .astype(np.float64)
    )
    laid = moved(grid, matrix)
    height, width = level[1].shape[0] * base, level[1].shape[1] * base
    inside = ((laid >= 0) & (laid < (width, height))).all(axis=1)
    quality = Quality(len(cells), len(close) / len(off), float(np.median(off)), chance, float(inside.mean()))
    return quality, max(0.5, float(np.mean(close))) if close else NEAR_PX
