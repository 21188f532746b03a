"""A mark worked into a picture as if it had been on the part when the shutter opened.

Light and lens act in their order: the mark takes away the finish and some of the light, its flanks lean towards the
lamp or away from it, the lens blurs all of that by as much as it blurs the rest of the picture, and the sensor's noise
lies on top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segmentation.render.likeness import Likeness, brightness, soften
from segmentation.render.marks import Mark
from segmentation.render.part import SEEN_GREY
from segmentation.render.surface import Field

EDGE_SHARE = 1 / 3
"""A pixel belongs to a defect where it is changed by at least this share of the most changed pixel around it: where
careful people draw the outline of a blurred line."""

AROUND_PX = 9
"""What "around it" means: a square of this side, or of the defect's width where that is more."""

LEAST_CHANGE = 0.5 * SEEN_GREY / 255.0
"""A pixel that is changed by less than this share of the full scale is not drawn, however faint the rest."""

SEEN_ROSE = 3.0
"""A defect is seen if its mean change, times the root of how often the eye can look at it along its length, is so many
times the spread of the texture at the scale of its width (Rose 1973, "Vision: human and electronic": 3 to 5)."""

EDGE_PX = 3.0
"""A wide defect with an edge is seen by its edge, at this scale; a dent has none."""

DARKEST = 0.03
"""Share of the light that even the deepest hole sends back."""

FINISH_LOST = 0.85
"""Of the old finish, where a mark has worn it away; a little shows even at the bottom."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a mark looks under its light."""

    contrast: float
    """Change of brightness where it is strongest, as a share; negative is darker."""
    relief: float
    """Weight of the flanks beside the darkness of the hollow."""
    lamp: tuple[float, float]
    """Unit vector in the picture towards the lamp: right, down."""
    tint: tuple[float, float, float]
    """Factor on the contrast in red, green and blue."""


def blend(
    picture: Field,
    mark: Mark,
    look: Look,
    like: Likeness,
    region: NDArray[np.bool_],
    rng: np.random.Generator,
) -> NDArray[np.bool_] | None:
    """Work a mark into `picture` (`H x W` or `H x W x 3`, grey levels as float32), in place.

    Args:
        region: `H x W`; where the surface may be changed. A mark ends at its border, as a scratch ends at the edge of
            the part; only the lens's blur reaches past it.

    Returns:
        Which pixels of `mark.box` are visibly changed: those where the brightness, before noise, differs from
        the picture without the mark by at least `EDGE_SHARE` of the greatest difference within `AROUND_PX`, and by
        `LEAST_CHANGE` of the full scale. A dent is drawn whole, its unchanged middle included. None, and an untouched
        picture, where the mark cannot be seen in its texture (`SEEN_GREY`, `SEEN_ROSE`).
    """
    box = mark.box
    place = np.s_[box.y : box.bottom, box.x : box.right]
    allowed = region[place]
    old = picture[place]
    change = _change(mark, look, like, allowed)
    if change is None:
        return None
    worn = np.float32(FINISH_LOST) * soften(np.asarray(mark.worn * allowed, np.float32), like.blur_px)
    changed = np.abs(change) >= EDGE_SHARE * float(np.abs(change).max())
    width = _thickness(changed)
    plain = soften(old, max(4.0, min(0.5 * width, 20.0)))
    grey = brightness(plain)
    difference = np.abs(change) * grey * np.float32(np.mean(look.tint) if picture.ndim == 3 else 1.0)
    grown = box.grown(int(2.0 * width) + 8, width=picture.shape[1], height=picture.shape[0])
    around = brightness(picture[grown.y : grown.bottom, grown.x : grown.right])
    seen = _seen(difference, around, like, whole=not mark.loss.any())
    if seen is None:
        return None
    tint = np.asarray(look.tint, np.float32) if picture.ndim == 3 else np.float32(1.0)
    if picture.ndim == 3:
        change, worn = change[..., None], worn[..., None]
    light = np.maximum(1.0 + change * tint, DARKEST)
    # noise that came with the old pixels has been scaled with them; the sensor adds what is missing for the new level
    kept = (light * (1.0 - worn)) ** 2 * like.variance(plain)
    missing = np.maximum(like.variance(light * plain) - kept, 0.0)
    new = ((1.0 - worn) * old + worn * plain) * light
    touched = np.minimum(np.abs(light - 1.0) * 20.0 + worn, 1.0)
    new += np.sqrt(missing) * touched * _grain(picture, box.height, box.width, rng)
    picture[place] = np.clip(new, 0.0, like.full)
    return seen


def _change(mark: Mark, look: Look, like: Likeness, allowed: NDArray[np.bool_]) -> Field | None:
    """Change of brightness as a share of it, behind the lens; `look.contrast` where it is strongest."""

    def behind_lens(field: Field) -> Field:
        return soften(np.asarray(field * allowed, np.float32), like.blur_px)

    flanks = behind_lens(-(mark.lean_x * np.float32(look.lamp[0]) + mark.lean_y * np.float32(look.lamp[1])))
    sign = math.copysign(1.0, look.contrast)
    hollow = behind_lens(mark.loss)
    deepest = float(hollow.max())
    if deepest <= 1e-6:  # nothing but flanks
        steepest = float(np.abs(flanks).max())
        return flanks * np.float32(abs(look.contrast) / steepest) if steepest > 1e-6 else None
    slope = float(np.hypot(behind_lens(mark.lean_x), behind_lens(mark.lean_y)).max())
    both = hollow * np.float32(sign / deepest) + flanks * np.float32(look.relief / max(slope, 1e-6))
    return both * np.float32(abs(look.contrast) / float((sign * both).max()))


def _seen(difference: Field, around: Field, like: Likeness, *, whole: bool) -> NDArray[np.bool_] | None:
    """Which pixels belong to the defect; None where nobody could see it."""
    inside = difference >= LEAST_CHANGE * like.full
    if not inside.any():
        return None
    thickness = max(1.0, _thickness(inside))
    side = int(max(AROUND_PX, thickness)) | 1
    greatest = cv2.dilate(difference, np.ones((side, side), np.uint8))
    seen: NDArray[np.bool_] = inside & (difference >= EDGE_SHARE * greatest)
    mean, area = float(difference[seen].mean()), int(seen.sum())
    scale = max(like.blur_px, thickness / 3.0 if whole else min(thickness / 3.0, EDGE_PX))
    texture = soften(around, scale) - soften(around, 4.0 * scale)
    spread = 1.4826 * float(np.median(np.abs(texture - np.median(texture))))
    looks = max(1.0, area / (thickness * 3.0 * scale))
    if mean < SEEN_GREY / 255.0 * like.full or mean * math.sqrt(looks) < SEEN_ROSE * spread:
        return None
    return _hull(seen) if whole else seen


def _thickness(inside: NDArray[np.bool_]) -> float:
    """How thick a shape is where it is thickest, px; what lies outside of its box is not in it."""
    return 2.0 * float(cv2.distanceTransform(np.pad(inside.astype(np.uint8), 1), cv2.DIST_L2, 3).max())


def _hull(seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    points = cv2.findNonZero(seen.astype(np.uint8))
    filled = np.zeros(seen.shape, np.uint8)
    cv2.fillConvexPoly(filled, cv2.convexHull(points), 1)
    return np.asarray(filled > 0)


def _grain(picture: Field, height: int, width: int, rng: np.random.Generator) -> Field:
    """Noise of unit spread with the grain of this very picture: its own finest detail, from somewhere else."""
    rows, columns = picture.shape[:2]
    y, x = (np.arange(n) + int(rng.integers(whole)) for n, whole in ((height, rows), (width, columns)))
    piece = picture[np.ix_(y % rows, x % columns)]
    fine = piece - soften(piece, 1.0)
    spread = 1.4826 * float(np.median(np.abs(fine)))
    if spread <= 1e-6:  # a picture without any detail
        return np.asarray(rng.standard_normal(piece.shape, dtype=np.float32))
    return np.asarray(np.clip(fine / np.float32(spread), -3.0, 3.0), np.float32)
