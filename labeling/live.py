"""What the serving model says of a picture that a person looks at: proposals, and the mask of a click or a box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.convert import blemishes, to_results
from labeling.outlines import outline
from labeling.proposed import MOST_PROPOSED, opening
from qc.defects import find_blobs, logit
from qc.errors import InvalidInput
from qc.ports import Segmentation

DOUBT = 0.2
"""Blobs below this score are not proposed; wiping them away would cost more than they help."""

NEAR_PX = 8
"""A click this far beside a defect still means it."""

LEAST_RISE = 1.0
"""In log-odds: a place that stands out less from its surroundings is nothing the model can outline."""

FLANK_PX = 24
"""Surroundings of a click that tell how unsuspicious the surface is there: a ring of this width."""

Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Hint:
    """Where a person points. In pixels of the picture."""

    x: float
    y: float
    width: float = 0.0
    """0 for a click."""
    height: float = 0.0
    label: str = ""
    """The class that the person chose for it."""


def proposals(
    seen: Segmentation, classes: Mapping[int, str], *, threshold: float, edge: float | None = None
) -> list[dict[str, Any]]:
    """The model's blobs as regions that a person can mend and the page draws at once (`labeling.proposed.opening`).

    An empty list where it sees nothing.
    """
    blobs = find_blobs(seen, threshold=threshold, edge=edge)
    shown = [b for b in blobs if b.class_id in classes and (b.counts or b.score >= DOUBT)][:MOST_PROPOSED]
    if not shown:
        return []
    mask = np.zeros(seen.log_odds.shape, np.uint8)
    scores = np.zeros(mask.shape, np.float32)
    for blob in reversed(shown):
        mask[blob.place][blob.pixels] = blob.class_id
        scores[blob.place][blob.pixels] = blob.score
    found = blemishes(mask, classes, scores=scores)
    return opening(found, [outline(blemish.pixels, diagonal=True) for blemish in found], mask.shape)


def region(seen: Segmentation, hint: Hint, *, threshold: float) -> Bits:
    """What a person means by a click or a box: a connected region of suspicion, `H x W`; empty where there is none.

    A click is moved to the most suspicious pixel within `NEAR_PX`. Where the model counts a defect there, its outline
    is the answer. Elsewhere the region is cut at half the height between the peak and its surroundings, so that a
    defect that the model only suspects is outlined as well. A box takes what in it rises above half its height.

    Raises:
        InvalidInput: the hint lies outside the picture.
    """
    odds = seen.log_odds.astype(np.float32)
    height, width = odds.shape
    if not (0 <= hint.x <= width and 0 <= hint.y <= height and hint.x + hint.width <= width + 1):
        raise InvalidInput(f"({hint.x:.0f}, {hint.y:.0f}) lies outside the picture of {width} x {height} px")
    level = logit(threshold)
    if hint.width and hint.height:
        left, top = int(hint.x), int(hint.y)
        place = np.s_[top : max(round(hint.y + hint.height), top + 1), left : max(round(hint.x + hint.width), left + 1)]
        inside = odds[place]
        if inside.size == 0:
            return np.zeros(odds.shape, bool)
        around = _flank(odds, place)
        cut = _cut(float(inside.max()), around, level)
        found = np.zeros(odds.shape, bool)
        if cut is not None:
            found[place] = inside >= cut
        return found
    x, y = min(int(hint.x), width - 1), min(int(hint.y), height - 1)
    near = np.s_[max(y - NEAR_PX, 0) : y + NEAR_PX + 1, max(x - NEAR_PX, 0) : x + NEAR_PX + 1]
    down, right = np.unravel_index(int(odds[near].argmax()), odds[near].shape)
    peak_y, peak_x = near[0].start + int(down), near[1].start + int(right)
    spot = np.s_[max(peak_y - NEAR_PX, 0) : peak_y + NEAR_PX + 1, max(peak_x - NEAR_PX, 0) : peak_x + NEAR_PX + 1]
    cut = _cut(float(odds[peak_y, peak_x]), _flank(odds, spot), level)
    if cut is None:
        return np.zeros(odds.shape, bool)
    _, labels = cv2.connectedComponents((odds >= cut).astype(np.uint8), connectivity=8)
    return np.asarray(labels == labels[peak_y, peak_x])


def _flank(odds: NDArray[np.float32], place: tuple[slice, slice]) -> float:
    """How suspicious the surroundings of a place are: the median of a ring around it, or of the frame's rest."""
    rows, columns = place
    wide = np.s_[
        max(rows.start - FLANK_PX, 0) : rows.stop + FLANK_PX, max(columns.start - FLANK_PX, 0) : columns.stop + FLANK_PX
    ]
    ring = np.ones(odds.shape, bool)
    ring[place] = False
    values = odds[wide][ring[wide]]
    return float(np.median(values)) if values.size else float(np.median(odds))


def _cut(peak: float, around: float, level: float) -> float | None:
    """Where a region ends; None if nothing rises."""
    if peak >= level:
        return level
    return (peak + around) / 2 if peak - around >= LEAST_RISE else None


def hints(context: Mapping[str, Any] | None, *, width: int, height: int) -> list[Hint]:
    """Where a person points, from Label Studio's `context`; empty if it asks for nothing.

    Args:
        width, height: of the picture, in pixels; Label Studio counts in hundredths of it.

    Raises:
        InvalidInput: a place is malformed.
    """
    results = (context or {}).get("result")
    if not isinstance(results, Sequence) or isinstance(results, str):
        return []
    found = []
    for result in results:
        value = result.get("value") if isinstance(result, Mapping) else None
        if not isinstance(value, Mapping) or result.get("type") not in ("keypointlabels", "rectanglelabels"):
            continue
        labels = value.get(str(result["type"]))
        is_box = result["type"] == "rectanglelabels"
        try:
            x, y = float(value["x"]) * width / 100, float(value["y"]) * height / 100
            w = float(value["width"]) * width / 100 if is_box else 0.0
            h = float(value["height"]) * height / 100 if is_box else 0.0
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"the place of a click or box is malformed: {error}") from error
        if not np.isfinite([x, y, w, h]).all():
            raise InvalidInput("the place of a click or box must be finite")
        found.append(Hint(x, y, w, h, str(labels[0]) if isinstance(labels, list) and labels else ""))
    return found


def outlined(
    seen: Segmentation, asked: Sequence[Hint], classes: Mapping[int, str], *, threshold: float
) -> list[dict[str, Any]]:
    """The answer to clicks and boxes: one brush region for each class, in the class that the person chose.

    Where none was chosen, the model's own vote counts.
    """
    ids = {name: class_id for class_id, name in classes.items()}
    found: dict[int, Bits] = {}
    for hint in asked:
        where = region(seen, hint, threshold=threshold)
        if where.any():
            vote = int(np.bincount(seen.class_id[where]).argmax())
            class_id = ids.get(hint.label, vote)
            found[class_id] = found.get(class_id, np.zeros(where.shape, bool)) | where
    mask = np.zeros(seen.log_odds.shape, np.uint8)
    for class_id, where in found.items():
        mask[where] = class_id
    return to_results(mask, classes) if mask.any() else []
