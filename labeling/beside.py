"""The part's other views beside a crop: the same place where it is known, else the whole view, small.

All of them are one picture, so that a task loads two pictures and not ten; it is looked at and never drawn on, so that
what comes home is in the crop's coordinates alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from labeling.align import Floats, moved
from labeling.places import Places
from qc.geometry import Box
from qc.records import Exposure

WHOLE_PX = 480
"""Longer side of a whole view: enough to see where on the part the crop lies and how the light falls."""

SAME_PLACE_PX = 768
"""Longer side of the same place in another view; a larger place is shrunk to it, a smaller one is not enlarged."""

MARGIN_PX = 16
"""Around the same place, beyond what the registration may be off: no fixture holds two parts alike."""

LEAST_SHOWN = 0.25
"""Share of the place that must lie in the other view; below, the whole view is shown."""

CAPTION_PX = 28
MOST_CELLS = 12
"""Views shown at most; more are too small to compare."""

_PAPER, _INK, _MARK = (24, 24, 24), (235, 235, 235), (213, 94, 0)

Rgb = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Cell:
    """One view on the sheet."""

    caption: str
    picture: Rgb


def same_place(crop: Box, matrix: Floats, *, spread_px: float, width: int, height: int) -> Box | None:
    """Where a crop lies in another view of `width x height` px; None if too little of it does.

    Args:
        crop: in pixels of its own frame.
        matrix: from (x, y) of its frame to those of the other; pixel centres are whole numbers.
        spread_px: how far a point may be off, in pixels of the other view.
    """
    corners = np.array([[crop.x, crop.y], [crop.right, crop.y], [crop.x, crop.bottom], [crop.right, crop.bottom]])
    laid = moved(corners - 0.5, matrix) + 0.5
    if not np.isfinite(laid).all():
        return None
    (left, top), (right, bottom) = laid.min(axis=0), laid.max(axis=0)
    margin = MARGIN_PX + 2 * spread_px
    x, y = max(math.floor(left - margin), 0), max(math.floor(top - margin), 0)
    far_x, far_y = min(math.ceil(right + margin), width), min(math.ceil(bottom + margin), height)
    seen = max(min(right, width) - max(left, 0), 0) * max(min(bottom, height) - max(top, 0), 0)
    if far_x <= x or far_y <= y or seen < LEAST_SHOWN * (right - left) * (bottom - top):
        return None
    return Box(x, y, far_x - x, far_y - y)


class Seen(Protocol):
    """Where the pictures of exposures come from, 8 bit, grey or RGB."""

    def frame(self, exposure: Exposure) -> NDArray[np.uint8]:
        """The whole frame at native resolution."""

    def small(self, exposure: Exposure) -> Rgb:
        """The whole frame, `shrunk`."""


def cells(crop: Box, own: Exposure, others: Sequence[Exposure], seen: Seen, places: Places | None) -> list[Cell]:
    """What stands beside a crop: where it lies on its own view, then the other views.

    Never nothing: Label Studio's page stays empty for a task that has no picture there.

    Args:
        others: the other exposures of the inspection.
        places: what is known of the station's views.
    """
    found = []
    if crop.as_list() != [0, 0, own.width, own.height] or not others:
        found.append(Cell(f"{own.view or 'this view'}, whole", _marked(seen.small(own), crop, own.width)))
    for other in others[:MOST_CELLS]:
        known = None if places is None else places.between(own, other)
        name = other.view or f"picture {other.n + 1}"
        place = None
        if known is not None:
            matrix, spread_px = known
            place = same_place(crop, matrix, spread_px=spread_px, width=other.width, height=other.height)
        if place is None:
            found.append(Cell(f"{name}, whole", seen.small(other)))
        else:
            cut = seen.frame(other)[place.y : place.bottom, place.x : place.right]
            found.append(Cell(f"{name}, the same place", _fitted(cut, SAME_PLACE_PX)))
    return found


def sheet(found: Sequence[Cell]) -> bytes:
    """The cells, one or more, as one JPEG: in one column, or in two where there are more than three."""
    columns = 1 if len(found) <= 3 else 2
    wide = max(cell.picture.shape[1] for cell in found)
    rows = [found[k : k + columns] for k in range(0, len(found), columns)]
    heights = [CAPTION_PX + max(cell.picture.shape[0] for cell in row) for row in rows]
    paper = Image.new("RGB", (wide * columns, sum(heights)), _PAPER)
    pen, font = ImageDraw.Draw(paper), ImageFont.load_default(CAPTION_PX - 10)
    top = 0
    for row, high in zip(rows, heights, strict=True):
        for k, cell in enumerate(row):
            pen.text((k * wide + 4, top + 3), cell.caption, fill=_INK, font=font)
            paper.paste(Image.fromarray(cell.picture), (k * wide, top + CAPTION_PX))
        top += high
    pixels = cv2.cvtColor(np.asarray(paper), cv2.COLOR_RGB2BGR)
    written, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 88])
    assert written  # 8 bit, three channels: nothing that JPEG could refuse
    return data.tobytes()


def shrunk(pixels: NDArray[np.uint8]) -> Rgb:
    """A whole view in colour, as large as it is shown beside a crop."""
    return _fitted(pixels, WHOLE_PX)


def _marked(small: Rgb, crop: Box, width: int) -> Rgb:
    """A copy with the crop drawn on it, of a view that is `width` px wide at native resolution."""
    marked, scale = small.copy(), small.shape[1] / width
    first = round(crop.x * scale), round(crop.y * scale)
    last = round(crop.right * scale) - 1, round(crop.bottom * scale) - 1
    cv2.rectangle(marked, first, last, _MARK, 2)
    return marked


def _fitted(pixels: NDArray[np.uint8], longest: int) -> Rgb:
    """A copy in colour, shrunk to a longer side of `longest` where it is larger."""
    rows, columns = pixels.shape[:2]
    if max(rows, columns) > longest:
        factor = longest / max(rows, columns)
        size = max(round(columns * factor), 1), max(round(rows * factor), 1)
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    rgb = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels.copy()
    return np.ascontiguousarray(rgb)
