"""What Label Studio calls a result, and a mask of class ids; from one to the other and back without a loss.

Whatever a person drew is untrusted: sizes, labels and the packed brush strokes are checked before they are believed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.config import BOX, BRUSH, CLEAN, CLICK, FRAME, IMAGE, NOTHING, POLYGON, UNSURE
from labeling.outlines import Ring, inside, simplified
from labeling.strokes import pack, unpack, without_specks
from qc.dataset import IGNORE
from qc.errors import InvalidInput

ALPHA = 128
"""A pixel belongs to a brush stroke from this alpha on: the stroke covers half of it or more. Strokes are anti-aliased;
counting every touched pixel makes a thin scratch 16 % larger, counting only full ones 16 % smaller."""

BY_HAND = ("manual", "prediction-changed")
"""Origins of regions that a person drew or changed on the page, which alone leaves specks: what was proposed and left
as it was, or sent by a program, is exact to the last pixel."""

MOST_REGIONS = 5000
"""More regions than this in one annotation are a mistake or an attack."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a person drew on one crop."""

    mask: NDArray[np.uint8]
    """`H x W` class ids: 0 nothing, 255 the person was not sure."""
    specks: int = 0
    """Stray marks at the border that were left out."""


def to_results(
    mask: NDArray[np.uint8],
    classes: Mapping[int, str],
    *,
    scores: NDArray[np.float32] | None = None,
    most: int | None = None,
    polygons: bool = False,
) -> list[dict[str, Any]]:
    """A mask as regions, one for each connected blemish of a class: a person can delete or mend each alone.

    Args:
        mask: `H x W` class ids; 255 becomes the label for "not sure". All zero becomes the choice that nothing is.
        classes: class id to label.
        scores: `H x W` in [0, 1], if a model drew it; a region gets its largest.
        most: regions at most (2500 unless told), the surest (or else the largest) first; what is beyond shares one
            region a class.
        polygons: simplified polygons instead of brush strokes, where a polygon can hold the blemish
            (`labeling.outlines.simplified`). Brush strokes are exact.

    Raises:
        InvalidInput: a class id without a name.
    """
    shown = blemishes(mask, classes, scores=scores, most=most)
    return regions(shown, mask.shape, rings=[simplified(b.pixels) for b in shown] if polygons else ())


def blemishes(
    mask: NDArray[np.uint8],
    classes: Mapping[int, str],
    *,
    scores: NDArray[np.float32] | None = None,
    most: int | None = None,
) -> list[Blemish]:
    """The connected blemishes of a mask; arguments and errors as for `to_results`."""
    found = []
    for class_id in (int(c) for c in np.flatnonzero(np.bincount(mask.ravel())) if c):
        if class_id != IGNORE and class_id not in classes:
            raise InvalidInput(f"the mask has class id {class_id}; known are {sorted(classes)}")
        label = UNSURE if class_id == IGNORE else classes[class_id]
        own = (mask == class_id).view(np.uint8)
        few = cv2.countNonZero(own) < 1 << 16  # no more numbers than pixels: half as wide ones, in a third of the time
        kind = cv2.CV_16U if few else cv2.CV_32S
        number, blobs, stats, _ = cv2.connectedComponentsWithStats(own, connectivity=8, ltype=kind)
        for k in range(1, number):
            x, y, w, h, area = (int(v) for v in stats[k])
            place = np.s_[y : y + h, x : x + w]
            pixels = blobs[place] == k
            score = None if scores is None else float(scores[place][pixels].max())
            found.append(Blemish(label, place, pixels, area, score))
    return surest(found, MOST_REGIONS // 2 if most is None else most)


def surest(found: Sequence[Blemish], most: int) -> list[Blemish]:
    """At most so many blemishes, the surest, then the largest, first; what is beyond shares one a label."""
    if len(found) <= most:
        return list(found)
    ordered = sorted(found, key=lambda b: (-(b.score or 0.0), -b.area))
    return ordered[:most] + joined(ordered[most:])


def regions(
    shown: Sequence[Blemish], size: tuple[int, ...], *, rings: Sequence[Ring | None] = ()
) -> list[dict[str, Any]]:
    """Blemishes in Label Studio's words; where there is none, that nothing is a defect.

    Args:
        size: height and width of the crop.
        rings: the polygon of each blemish on its place, None where it is a brush stroke; all are strokes if empty.
    """
    height, width = size
    found = [_region(b, height, width, ring) for b, ring in zip(shown, rings or [None] * len(shown), strict=True)]
    return [{"id": f"r{k}", **region} for k, region in enumerate(found, start=1)] or [
        {"id": "r1", "type": "choices", "from_name": CLEAN, "to_name": IMAGE, "value": {"choices": [NOTHING]}}
    ]


@dataclass(frozen=True, slots=True)
class Blemish:
    """A region to be drawn."""

    label: str
    place: tuple[slice, slice]
    """Rows and columns on the crop."""
    pixels: NDArray[np.bool_]
    """Which of them are its own."""
    area: int
    score: float | None

    def shifted(self, *, dx: int, dy: int) -> Blemish:
        """The same one, so far to the right and down."""
        rows, columns = self.place
        place = np.s_[rows.start + dy : rows.stop + dy, columns.start + dx : columns.stop + dx]
        return replace(self, place=place)


def joined(blemishes: Sequence[Blemish]) -> list[Blemish]:
    """All blemishes of a label as one."""
    found = []
    for label in dict.fromkeys(b.label for b in blemishes):
        own = [b for b in blemishes if b.label == label]
        top, left = (min(b.place[axis].start for b in own) for axis in (0, 1))
        bottom, right = (max(b.place[axis].stop for b in own) for axis in (0, 1))
        pixels = np.zeros((bottom - top, right - left), bool)
        for b in own:
            rows, columns = b.place
            pixels[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] |= b.pixels
        scores = [b.score for b in own if b.score is not None]
        place = np.s_[top:bottom, left:right]
        found.append(Blemish(label, place, pixels, int(pixels.sum()), max(scores, default=None)))
    return found


def _region(blemish: Blemish, height: int, width: int, ring: Ring | None) -> dict[str, Any]:
    """The region in Label Studio's words."""
    region: dict[str, Any] = {"to_name": IMAGE, "original_width": width, "original_height": height, "image_rotation": 0}
    rows, columns = blemish.place
    if ring is not None:
        corners = (ring + np.array([columns.start, rows.start])) * (100 / width, 100 / height)
        value: dict[str, Any] = {"points": corners.tolist(), "closed": True, "polygonlabels": [blemish.label]}
        region |= {"type": "polygonlabels", "from_name": POLYGON, "value": value}
    else:
        strokes = pack(blemish.pixels, at=(rows.start, columns.start), size=(height, width))
        value = {"format": "rle", "rle": strokes, "brushlabels": [blemish.label]}
        region |= {"type": "brushlabels", "from_name": BRUSH, "value": value}
    return region if blemish.score is None else region | {"score": round(blemish.score, 4)}


def from_results(
    results: Sequence[Mapping[str, Any]], classes: Mapping[int, str], *, height: int, width: int
) -> Drawing:
    """The mask that an annotation means. Where regions overlap, the later one is on top.

    The choice "nothing here" clears what the model had proposed, but contradicts what a person drew. No region and no
    choice means nothing as well: Label Studio's page does not let a person submit that by accident.

    Args:
        results: the annotation's `result`.
        classes: class id to label.
        height, width: of the crop, in pixels.

    Raises:
        InvalidInput: an unknown label, tool or size, several labels on a region, a rotated picture, damaged strokes,
            or a contradiction; the message names the region.
    """
    if len(results) > MOST_REGIONS:
        raise InvalidInput(f"the annotation has {len(results)} regions; at most {MOST_REGIONS} are read")
    ids = {name: class_id for class_id, name in classes.items()} | {UNSURE: IGNORE}
    mask = np.zeros((height, width), np.uint8)
    nothing, by_hand, specks = False, 0, 0
    for result in results:
        if result.get("type") == "choices":
            nothing = nothing or NOTHING in _list(result, "choices")
            continue
        if result.get("from_name") in (CLICK, FRAME):
            continue  # a question to the model that the page left behind; its answer is a region of its own
        _check_size(result, height=height, width=width)
        class_id = _class_id(result, ids)
        drawn = result.get("origin") in BY_HAND
        blob, stray = _blob(result, height=height, width=width, by_hand=drawn)
        mask[blob] = class_id
        specks += stray
        by_hand += drawn
    if nothing and by_hand:
        raise InvalidInput(f"{NOTHING!r} is chosen, but {by_hand} regions are drawn; remove one or the other")
    return Drawing(np.zeros_like(mask) if nothing else mask, 0 if nothing else specks)


_LABELS = {BRUSH: "brushlabels", POLYGON: "polygonlabels", BOX: "rectanglelabels"}


def _value(result: Mapping[str, Any]) -> Mapping[str, Any]:
    value = result.get("value")
    if not isinstance(value, Mapping):
        raise InvalidInput(f"region {result.get('id')} has no value")
    return value


def _list(result: Mapping[str, Any], key: str) -> list[Any]:
    found = _value(result).get(key)
    if not isinstance(found, list):
        raise InvalidInput(f"region {result.get('id')} has no {key}")
    return found


def _class_id(result: Mapping[str, Any], ids: Mapping[str, int]) -> int:
    kind = result.get("type")
    if kind not in _LABELS.values():
        raise InvalidInput(f"region {result.get('id')} is of type {kind!r}; known are {', '.join(_LABELS.values())}")
    labels = _list(result, str(kind))
    if len(labels) != 1:
        raise InvalidInput(f"region {result.get('id')} has {len(labels)} labels ({labels}); give it exactly one")
    if labels[0] not in ids:
        raise InvalidInput(f"region {result.get('id')} has the unknown label {labels[0]!r}; known are {', '.join(ids)}")
    return ids[labels[0]]


def _check_size(result: Mapping[str, Any], *, height: int, width: int) -> None:
    size = (result.get("original_width", width), result.get("original_height", height))
    if size != (width, height):
        raise InvalidInput(
            f"region {result.get('id')} was drawn on {size[0]} x {size[1]} px; the crop is {width} x {height}"
        )
    if result.get("image_rotation"):
        raise InvalidInput(f"region {result.get('id')} was drawn on a rotated picture; rotate it back and draw again")


def _blob(result: Mapping[str, Any], *, height: int, width: int, by_hand: bool) -> tuple[NDArray[np.bool_], int]:
    """Where a region is, `H x W`, and how many stray marks were left out."""
    value = _value(result)
    if result["type"] == "brushlabels":
        strokes = unpack(value.get("rle"), height=height, width=width) >= ALPHA
        return without_specks(strokes) if by_hand else (strokes, 0)
    corners = _corners(value, str(result.get("id")), height=height, width=width)
    blob = inside(corners, height=height, width=width)
    if not blob.any():  # thinner than a pixel: the person still pointed at something
        line = np.zeros(blob.shape, np.uint8)
        cv2.polylines(line, [np.floor(corners).astype(np.int32)], isClosed=True, color=1)
        blob |= line > 0
    return blob, 0


def _corners(value: Mapping[str, Any], name: str, *, height: int, width: int) -> NDArray[np.float64]:
    """The corners of a polygon or rectangle, `N x 2` as (x, y), in pixels from the crop's top left edge."""
    try:
        if "points" in value:
            corners = np.asarray(value["points"], np.float64).reshape(-1, 2) * (width / 100, height / 100)
        else:
            x, y = value["x"] * width / 100, value["y"] * height / 100
            w, h = value["width"] * width / 100, value["height"] * height / 100
            turn = math.radians(value.get("rotation") or 0)
            right, down = np.array([math.cos(turn), math.sin(turn)]), np.array([-math.sin(turn), math.cos(turn)])
            corners = np.array([x, y]) + np.array([0 * right, w * right, w * right + h * down, h * down])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"region {name} has no proper corners: {error}") from error
    if len(corners) < 2 or not np.isfinite(corners).all() or np.abs(corners).max() > 100 * max(width, height):
        raise InvalidInput(f"region {name} has no proper corners")
    return corners
