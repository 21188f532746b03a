"""What Label Studio calls a result, and a mask of class ids; from one to the other and back without a loss.

Whatever a person drew is untrusted: sizes, labels and the packed brush strokes are checked before they are believed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

from labeling.config import BOX, BRUSH, CLEAN, CLICK, FRAME, IMAGE, NOTHING, POLYGON, UNSURE
from qc.dataset import IGNORE
from qc.errors import InvalidInput

ALPHA = 128
"""A pixel belongs to a brush stroke from this alpha on: the stroke covers half of it or more. Strokes are anti-aliased;
counting every touched pixel makes a thin scratch 16 % larger, counting only full ones 16 % smaller."""

SPECK_PX = 4
"""Label Studio can leave marks of a few pixels at the picture's border when a stroke is submitted (its issue 6694)."""

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
    mask: NDArray[np.uint8], classes: Mapping[int, str], *, scores: NDArray[np.float32] | None = None
) -> list[dict[str, Any]]:
    """A mask as brush regions, one for each connected blemish of a class: a person can delete or mend each alone.

    Args:
        mask: `H x W` class ids; 255 becomes the label for "not sure". All zero becomes the choice that nothing is.
        classes: class id to label.
        scores: `H x W` in [0, 1], if a model drew it; a region gets its largest.

    Raises:
        InvalidInput: a class id without a name.
    """
    height, width = mask.shape
    frame = {"to_name": IMAGE, "original_width": width, "original_height": height, "image_rotation": 0}
    results: list[dict[str, Any]] = []
    for class_id in (int(c) for c in np.unique(mask) if c):
        if class_id != IGNORE and class_id not in classes:
            raise InvalidInput(f"the mask has class id {class_id}; known are {sorted(classes)}")
        label = UNSURE if class_id == IGNORE else classes[class_id]
        number, blobs = cv2.connectedComponents((mask == class_id).astype(np.uint8), connectivity=8)
        for k in range(1, number):
            blob = blobs == k
            value = {"format": "rle", "rle": pack(blob), "brushlabels": [label]}
            region = {"id": f"r{len(results) + 1}", "type": "brushlabels", "from_name": BRUSH, **frame, "value": value}
            if scores is not None:
                region["score"] = round(float(scores[blob].max()), 4)
            results.append(region)
    return results or [
        {"id": "r1", "type": "choices", "from_name": CLEAN, "to_name": IMAGE, "value": {"choices": [NOTHING]}}
    ]


def pack(blob: NDArray[np.bool_]) -> list[int]:
    """Brush strokes as Label Studio packs them: RGBA, all four 255 where `blob` is, in the rle-pack bit stream."""
    from label_studio_sdk.converter import brush

    return list(brush.mask2rle(np.where(blob, 255, 0).astype(np.uint8)))  # type: ignore[no-untyped-call]


def unpack(rle: Any, *, height: int, width: int) -> NDArray[np.uint8]:
    """The alpha of packed brush strokes, `H x W`.

    Raises:
        InvalidInput: not a list of bytes, damaged, or not of this size; nothing is allocated for a size it claims.
    """
    from label_studio_sdk.converter import brush

    try:
        data = bytes(rle)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"brush strokes are not a list of bytes: {error}") from error
    claimed = int.from_bytes(data[:4], "big")
    if claimed != 4 * height * width:
        raise InvalidInput(
            f"brush strokes hold {claimed} values; a crop of {width} x {height} px has {4 * height * width}"
        )
    try:
        values = brush.decode_rle(data)
    except (ValueError, IndexError, OverflowError) as error:
        raise InvalidInput("brush strokes are damaged or end too early") from error
    return np.asarray(values, np.uint8).reshape(height, width, 4)[..., 3]


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
        blob, stray = _blob(result, height=height, width=width)
        mask[blob] = class_id
        specks += stray
        by_hand += result.get("origin") in ("manual", "prediction-changed")
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


def _blob(result: Mapping[str, Any], *, height: int, width: int) -> tuple[NDArray[np.bool_], int]:
    """Where a region is, `H x W`, and how many stray marks were left out."""
    value = _value(result)
    if result["type"] == "brushlabels":
        return _without_specks(unpack(value.get("rle"), height=height, width=width) >= ALPHA)
    corners = _corners(value, str(result.get("id")), height=height, width=width)
    blob: NDArray[np.bool_] = np.zeros((height, width), bool)
    # Label Studio's lengths start at the picture's edge; the centre of the first pixel lies half a pixel inside.
    rows, columns = polygon(corners[:, 1] - 0.5, corners[:, 0] - 0.5, blob.shape)
    blob[rows, columns] = True
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


def _without_specks(blob: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int]:
    """A brush region without marks of up to `SPECK_PX` pixels at the border, where it has something larger besides."""
    number, blobs, stats, _ = cv2.connectedComponentsWithStats(blob.astype(np.uint8), connectivity=8)
    if number <= 2 or stats[1:, cv2.CC_STAT_AREA].max() <= SPECK_PX:
        return blob, 0
    height, width = blob.shape
    keep = np.ones(number, bool)
    keep[0] = False
    for k in range(1, number):
        x, y, w, h, area = (int(v) for v in stats[k])
        at_border = x == 0 or y == 0 or x + w == width or y + h == height
        keep[k] = area > SPECK_PX or not at_border
    return keep[blobs], int((~keep[1:]).sum())
