"""One imaginary part, seen from several sides, with the truth about its defects."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput
from qc.geometry import Box
from segmentation.render.blemishes import CLASSES, Blemish, draw_lots, plant
from segmentation.render.distractors import dirty, room_light
from segmentation.render.layout import shape_part
from segmentation.render.light import View, exposure, make_view, photograph, shade
from segmentation.render.surface import SURFACES, Field, Surface, make_surface

VIEWS = ("left", "top", "right")
MM_PER_PX = 0.05
"""The imaginary cameras see one twentieth of a millimetre per pixel: a hair is one to two pixels wide."""

MARGIN = 32
"""px of metal rendered beyond the frame, so that a displaced camera still sees metal."""

SEEN_GREY = 4.0
"""A defect shows where it differs from the same metal without it by this many grey levels (out of 255, mean over the
stretch that the eye joins): about twice the noise of the sensor, about what people find on a good screen."""

SEEN_TEXTURE = 0.6
"""It must also reach this share of the standard deviation of the texture around it, or it drowns in tool marks."""

SEEN_SHARE = 0.15
"""A scratch of which less than this share shows is not called visible: a speck of it tells nobody that it is one."""

SEEN_PX = 24
"""Nor one of which fewer pixels show."""

RESAMPLING_PX = 0.35
"""Blur of the displacement by a part of a pixel, beside that of the lens."""

CLEAN_SHARE = 0.6
"""Parts without any defect, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class TrueDefect:
    """A defect of the part, as it lies in one view."""

    number: int
    """The same in every view of the part; from 1."""
    class_id: int
    class_name: str
    box: Box | None
    """Around what is visible, in frame pixels; None where nothing is."""
    area_px: int
    """Visible pixels."""
    contrast_grey: float
    """Mean difference from clean metal over its extent, in grey levels."""

    @property
    def visible(self) -> bool:
        """Does this view show it?"""
        return self.area_px > 0


@dataclass(frozen=True, slots=True)
class RenderedView:
    """One picture of a part and the truth about it."""

    name: str
    pixels: NDArray[np.uint8]
    """`H x W` grey."""
    mask: NDArray[np.uint8]
    """`H x W` class ids of what is visible in this view; 0 elsewhere."""
    defects: tuple[TrueDefect, ...]
    """All of the part's defects, also those this view does not show."""
    to_frame: NDArray[np.float64]
    """3 x 3 homography from pixels of the part, the same for all of its views, to pixels of this picture."""


@dataclass(frozen=True, slots=True)
class RenderedPart:
    """A part from all sides."""

    seed: int
    surface: str
    views: tuple[RenderedView, ...]

    @property
    def defective(self) -> bool:
        """Is a defect visible in any view? What no view shows, nobody can be blamed for."""
        return any(defect.visible for view in self.views for defect in view.defects)


def render_part(
    seed: int,
    *,
    views: Sequence[str] = VIEWS,
    width: int = 1024,
    height: int = 768,
    surface: str | None = None,
    defects: Sequence[str] | None = None,
    design: int | None = None,
    clean: float = CLEAN_SHARE,
) -> RenderedPart:
    """Render a part. The same arguments give the same pictures.

    Args:
        seed: which part; any integer of at least 0.
        views: names; `left`, `top`, `right`, `bottom` say where the lamp stands, others get a direction of their own.
        width, height: of each picture, px, at least 64.
        surface: one of `SURFACES`; drawn by lot unless given.
        defects: class names to plant, such as ("scratch", "pit"); () for none; drawn by lot unless given.
        design: parts of one design share surface, edges, holes and engraving; every part has its own unless given.
        clean: share of parts without defects, in [0, 1], when `defects` is drawn by lot.

    Raises:
        InvalidInput: an argument is outside its range, or names something that does not exist.
    """
    if seed < 0 or min(width, height) < 64 or not views or not 0 <= clean <= 1:
        raise InvalidInput(
            f"cannot render part {seed} at {width} x {height} px with {len(views)} views: seed must be at least 0, "
            "sides at least 64 px, views at least one, clean from 0 to 1"
        )
    if len(set(views)) != len(views):
        raise InvalidInput(f"views must have different names, not {', '.join(views)}")
    style = seed if design is None else design
    kind = surface or str(_rng(style, "kind").choice(SURFACES))
    rows, columns = height + 2 * MARGIN, width + 2 * MARGIN
    metal = make_surface(kind, _rng(style, "style"), _rng(seed, "metal"), height=rows, width=columns)
    shape = shape_part(metal, _rng(style, "shape"), margin=MARGIN)
    dirty(metal, shape, _rng(seed, "dirt"))
    lots = _rng(seed, "defects")
    names = draw_lots(lots, clean=clean) if defects is None else list(defects)
    marks = plant(metal, shape, lots, names)
    before = [metal.cut(mark.box) for mark in marks]
    for mark in marks:
        mark.press_into(metal)
    shown = tuple(
        _photograph(metal, shape.inside, marks, before, name, seed=seed, width=width, height=height) for name in views
    )
    return RenderedPart(seed=seed, surface=kind, views=shown)


def _rng(seed: int, purpose: str) -> np.random.Generator:
    """A source of chance of its own for every purpose: changing one never changes the others."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def _photograph(
    metal: Surface,
    inside: NDArray[np.bool_],
    marks: Sequence[Blemish],
    before: Sequence[Surface],
    name: str,
    *,
    seed: int,
    width: int,
    height: int,
) -> RenderedView:
    """One view: the picture, and of every defect what this light shows."""
    rng = _rng(seed, f"view {name}")
    view = make_view(name, rng, width=width, height=height, margin=MARGIN)
    whole = inside.shape[0], inside.shape[1]
    light = shade(metal, view, whole=whole)
    gain = exposure(light, inside, view)
    numbers = np.zeros(whole, np.uint8)
    contrasts = []
    for number, (mark, clean) in enumerate(zip(marks, before, strict=True), start=1):
        box = mark.box
        place = np.s_[box.y : box.bottom, box.x : box.right]
        without = shade(clean, view, whole=whole, box=box) * np.float32(gain)
        seen, contrast = _what_shows(light[place] * np.float32(gain), without, mark, view)
        numbers[place][seen] = number
        contrasts.append(contrast)
    light *= np.float32(gain)
    room_light(light, rng)
    pixels = photograph(light, view, rng, width=width, height=height)
    in_frame = cv2.warpPerspective(numbers, view.to_camera, (width, height), flags=cv2.INTER_NEAREST)
    class_of = np.array([0, *(mark.class_id for mark in marks)], np.uint8)
    defects = []
    for number, (mark, contrast) in enumerate(zip(marks, contrasts, strict=True), start=1):
        drawn = (in_frame == number).astype(np.uint8)
        area = int(cv2.countNonZero(drawn))
        defects.append(
            TrueDefect(
                number=number,
                class_id=mark.class_id,
                class_name=CLASSES[mark.class_id],
                box=Box(*cv2.boundingRect(drawn)) if area else None,
                area_px=area,
                contrast_grey=round(contrast, 2),
            )
        )
    return RenderedView(
        name=name, pixels=pixels, mask=class_of[in_frame], defects=tuple(defects), to_frame=view.to_camera
    )


def _what_shows(seen: Field, without: Field, mark: Blemish, view: View) -> tuple[NDArray[np.bool_], float]:
    """The pixels of a defect that its view shows, and its mean contrast in grey levels.

    The contrast of a pixel is the difference between the metal with and without the defect behind the view's lens (it
    washes out a bright and a dark flank side by side), averaged along the defect over `mark.reach_px`; it must reach
    `SEEN_GREY` and `SEEN_TEXTURE` times the spread of the clean metal around it.
    """
    extent = mark.extent
    if not extent.any():
        return extent, 0.0
    clipped = np.minimum(without, 255.0)
    difference = np.minimum(seen, 255.0) - clipped
    difference = np.abs(cv2.GaussianBlur(difference, (0, 0), math.hypot(view.blur_px, RESAMPLING_PX)))
    mean = float(difference[extent].mean())
    texture = cv2.GaussianBlur(clipped, (0, 0), view.blur_px) - cv2.GaussianBlur(clipped, (0, 0), 6.0)
    least = max(SEEN_GREY, SEEN_TEXTURE * float(texture.std()))
    if mark.reach_px > max(extent.shape):
        return (extent if mean >= least else np.zeros_like(extent)), mean
    weight = extent.astype(np.float32)
    local = cv2.GaussianBlur(difference * weight, (0, 0), mark.reach_px)
    local /= np.maximum(cv2.GaussianBlur(weight, (0, 0), mark.reach_px), 1e-6)
    shows = extent & (local >= least)
    if shows.sum() < max(SEEN_PX, SEEN_SHARE * extent.sum()):
        shows = np.zeros_like(extent)
    return shows, mean
