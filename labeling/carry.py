"""Labels carried from one view of a part to another: what is drawn here, where does it lie there, and what is there?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.align import Grey, grey, moved
from labeling.drawings import Bits, Mask
from labeling.evidence import SPECK_PX, components
from labeling.registration import Refusal, Registration, Way, register
from qc.dataset import IGNORE, Sample
from qc.geometry import Box
from qc.given import Given

JOIN_PX = 10
"""Pieces of a class closer than twice this are one defect: light breaks a scratch into pieces."""

HAND_PX = 2
"""How far beside its edge a careful person draws a defect."""

TOUCHES = 0.1
"""A carried defect is matched when this share of it, or of what is drawn there, lies on the other."""

AROUND_PX = 64
"""A defect is compared with what its shape finds when it is laid up to so far away."""


class Fate(StrEnum):
    """What stands in the other view where a defect should lie."""

    MATCHED = "matched"
    MISSING = "not drawn"
    RENAMED = "another class"
    OUTSIDE = "outside of the frame"
    UNKNOWN = "nobody looked"


@dataclass(frozen=True, slots=True)
class Carried:
    """A defect drawn in one picture, looked up in another."""

    part: str
    class_id: int
    image: str
    view: str
    box: Box
    """Where it is drawn."""
    other_image: str
    other_view: str
    there: Box | None
    """Where it should lie on the other picture, cut at its frame; None when outside."""
    fate: Fate
    other_class: int | None
    """What it is called there, when that is something else."""
    shows: float | None
    """How far the picture stands out there, in standard deviations of what its shape finds around; None: no telling."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two views of a part, and whether one lies on the other."""

    part: str
    images: tuple[str, str]
    views: tuple[str, str]
    answer: Registration | Refusal


def carry_part(samples: Sequence[Sample], classes: Mapping[int, str], given: Given) -> tuple[list[Pair], list[Carried]]:
    """Register every two labelled views of a part of which one shows something, and carry all labels both ways.

    Raises:
        InvalidInput: a picture or mask cannot be read; the message names it.
    """
    seen = [s for s in samples if s.mask is not None]
    masks = {s.name: s.labels(classes) for s in seen}
    drawn = {s.name: defects(masks[s.name]) for s in seen}
    if not any(drawn.values()):
        return [], []
    pixels = {s.name: s.pixels() for s in seen}
    pairs, found = [], []
    for k, one in enumerate(seen):
        for two in seen[k + 1 :]:
            if not drawn[one.name] and not drawn[two.name]:
                continue
            known = given.between((one.name, one.view), (two.name, two.view))
            answer = register(pixels[one.name], pixels[two.name], given=known, spread_px=given.spread_px)
            pairs.append(Pair(one.part, (one.name, two.name), (one.view, two.view), answer))
    pairs = _through(pairs)
    samples_by = {s.name: s for s in seen}
    for pair in pairs:
        if not isinstance(pair.answer, Refusal):
            one, two = (samples_by[name] for name in pair.images)
            for here, there, way in ((one, two, pair.answer), (two, one, pair.answer.back)):
                picture = grey(pixels[there.name])
                for class_id, box, shape in drawn[here.name]:
                    place = _look_up(class_id, box, shape, way, masks[there.name], picture)
                    found.append(
                        Carried(here.part, class_id, here.name, here.view, box, there.name, there.view, *place)
                    )
    return pairs, found


def _through(pairs: Sequence[Pair]) -> list[Pair]:
    """Where two pictures cannot be registered but both can with a third one, that joins them."""
    known: dict[tuple[str, str], Registration] = {}
    for pair in pairs:
        if not isinstance(pair.answer, Refusal):
            known[pair.images] = pair.answer
            known[pair.images[::-1]] = pair.answer.back
    joined = []
    for pair in pairs:
        if isinstance(pair.answer, Refusal):
            one, two = pair.images
            thirds = sorted({b for a, b in known if a == one} & {a for a, b in known if b == two})
            ways = [known[one, third].then(known[third, two]) for third in thirds]
            if ways:
                pair = replace(pair, answer=min(ways, key=lambda way: way.spread_px))
        joined.append(pair)
    return joined


def defects(mask: Mask) -> list[tuple[int, Box, Bits]]:
    """What is drawn: (class id, box, pixels) of each defect, its pieces joined (`JOIN_PX`); specks left out."""
    found = []
    size = (2 * JOIN_PX + 1, 2 * JOIN_PX + 1)
    for class_id in (int(c) for c in np.unique(mask) if c not in (0, IGNORE)):
        own = (mask == class_id).astype(np.uint8)
        wide = cv2.dilate(own, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, size))
        for _, box, region in components(np.asarray(wide, np.uint8)):
            pixels = region & (own[box.y : box.bottom, box.x : box.right] > 0)
            if pixels.sum() < SPECK_PX:
                continue
            x, y, width, height = cv2.boundingRect(pixels.astype(np.uint8))
            place = np.s_[y : y + height, x : x + width]
            found.append((class_id, Box(box.x + x, box.y + y, width, height), pixels[place]))
    return found


Place = tuple[Box | None, Fate, int | None, float | None]


def _look_up(class_id: int, box: Box, shape: Bits, way: Registration, mask: Mask, picture: Grey) -> Place:
    """(where, what, other class, how it shows) of one defect in the other view."""
    rows, columns = np.nonzero(shape)
    points = moved(np.column_stack([columns + box.x, rows + box.y]).astype(np.float64), way.matrix)
    height, width = mask.shape
    inside = ((points >= -0.5) & (points < (width - 0.5, height - 0.5))).all(axis=1)
    if inside.mean() < 0.5:
        return None, Fate.OUTSIDE, None, None
    reach = math.ceil(2 * way.spread_px) + HAND_PX
    left, top = (math.floor(v) for v in points.min(axis=0).tolist())
    right, bottom = (math.ceil(v) for v in points.max(axis=0).tolist())
    margin = AROUND_PX + 2 * reach
    left, top, right, bottom = left - margin, top - margin, right + margin + 1, bottom + margin + 1
    shift = np.array([[1, 0, box.x], [0, 1, box.y], [0, 0, 1.0]])
    back = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
    laid = cv2.warpPerspective(shape.astype(np.uint8) * 255, back @ way.matrix @ shift, (right - left, bottom - top))
    exact = np.asarray(laid >= 96, np.uint8)  # a little under one half, so that a line one pixel wide does not break
    pads = max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0)
    there = np.s_[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    labels = np.asarray(cv2.copyMakeBorder(mask[there], *pads, cv2.BORDER_CONSTANT, value=[IGNORE]), np.uint8)
    region = cv2.dilate(exact, _disc(reach)) > 0
    x, y, wide, high = cv2.boundingRect(region.astype(np.uint8))
    place = Box(
        max(x + left, 0), max(y + top, 0), max(min(wide, width - x - left), 1), max(min(high, height - y - top), 1)
    )
    around = np.asarray(cv2.copyMakeBorder(picture[there], *pads, cv2.BORDER_REFLECT), np.float32)
    shows = _stands_out(around, exact, labels, reach)
    under = {int(c): int((labels[region] == c).sum()) for c in np.unique(labels[region])}
    need = {c: TOUCHES * min(int(exact.sum()), int((labels == c).sum())) for c in under}
    if class_id in under and under[class_id] >= max(need[class_id], 1):
        return place, Fate.MATCHED, None, shows
    others = [c for c in under if c not in (0, IGNORE) and under[c] >= max(need[c], SPECK_PX)]
    if others:
        return place, Fate.RENAMED, max(others, key=under.__getitem__), shows
    if (labels[exact > 0] == IGNORE).mean() > 0.5:
        return place, Fate.UNKNOWN, None, shows
    return place, Fate.MISSING, None, shows


def _disc(radius: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)


def _stands_out(picture: Grey, shape: NDArray[np.uint8], labels: Mask, reach: int) -> float | None:
    """How much more of a blemish the shape finds where it should lie than laid around, in robust standard deviations.

    A blemish is what differs from its surroundings, brighter or darker, at the scale of the shape's own width. In both
    places the best of the displacements within `reach` counts, so that an inexact registration costs nothing.
    """
    width = 2.0 * float(cv2.distanceTransform(np.pad(shape, 1), cv2.DIST_L2, 3).max())
    fine = float(np.clip(width / 4.0, 0.7, 6.0))
    calm = cv2.GaussianBlur(picture, (0, 0), fine)
    strange = np.abs(calm - cv2.GaussianBlur(picture, (0, 0), 3.0 * fine + 2.0)).astype(np.float32)
    x, y, wide, high = cv2.boundingRect(shape)
    kernel = shape[y : y + high, x : x + wide].astype(np.float32)
    kernel /= max(float(kernel.sum()), 1.0)
    found = cv2.matchTemplate(strange, kernel, cv2.TM_CCORR)
    drawn = cv2.matchTemplate((labels != 0).astype(np.float32), kernel, cv2.TM_CCORR)
    found = cv2.dilate(found, _disc(reach))
    rows, columns = np.ogrid[: found.shape[0], : found.shape[1]]
    apart = np.hypot(rows - y, columns - x) > 2 * reach + width + 2
    null = found[apart & (drawn < TOUCHES)][:: max(reach // 2, 1)]
    if null.size < 50:
        return None
    middle = float(np.median(null))
    spread = 1.4826 * float(np.median(np.abs(null - middle)))
    return (float(found[y, x]) - middle) / max(spread, 0.1)


def ways(pairs: Sequence[Pair]) -> dict[Way | None, int]:
    """How many pairs were registered in each way; None: not at all."""
    counts: dict[Way | None, int] = {}
    for pair in pairs:
        way = None if isinstance(pair.answer, Refusal) else pair.answer.way
        counts[way] = counts.get(way, 0) + 1
    return counts
