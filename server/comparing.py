"""The last good part beside the one on screen: which it is, and where the two differ.

Two pictures are laid on each other by what they show (`labeling.registration`), where that can be proved; else as they
lay in the fixture, which is said. What differs is brightness alone: grain differs from part to part, and so does dirt.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, col, select

from labeling.align import Floats, from_level, to_level
from labeling.registration import Refusal, register
from qc.errors import InvalidInput
from qc.frame import Pixels
from qc.geometry import Box
from qc.records import Decision, Exposure, Inspection, Progress
from qc.verdict import Verdict
from server import pictures
from server.cache import Cache
from server.inspections import get_exposure, get_inspection
from server.retention import GONE
from server.word_records import counts

LOOKED_BACK = 300
"""Inspections of the station that are looked through; an older good part was seen in another light."""
SIDE = 1600
"""Longer side of what is compared, px: as much as a screen shows; a smaller part of the picture is sharper."""
GAIN = 4
"""A difference of 64 grey values is white: a scratch of 15 is seen, grain of 3 is not."""
KEPT = 200
"""Pairs of pictures of which it is remembered how they lie."""

Laid = Literal["registered", "as it lay"]


@dataclass(frozen=True, slots=True)
class Good:
    """A picture of a good part."""

    inspection: Inspection
    exposure: Exposure
    confirmed_by: str
    """Who said that it is ok; empty: the model alone."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A picture, and how its pixels are got."""

    exposure: Exposure
    decode: Callable[[], Pixels]


def last_good(session: Session, inspection_id: str, n: int) -> Good | None:
    """The newest earlier picture of this station, product, view and size of another part that the model called ok.

    One that a person confirmed goes before newer ones that nobody did; one that a person called not good is none. None
    among `LOOKED_BACK` inspections: there is nothing to compare with. Raises NotFound for an unknown picture.
    """
    own, here = get_inspection(session, inspection_id), get_exposure(session, inspection_id, n)
    earlier = (
        select(Inspection)
        .where(
            Inspection.station == own.station,
            Inspection.product == own.product,
            Inspection.part != own.part,
            Inspection.progress == Progress.DONE,
            col(Inspection.id) < own.id,
        )
        .order_by(col(Inspection.id).desc())
        .limit(LOOKED_BACK)
    )
    rows = {row.id: row for row in session.exec(earlier) if row.said == Verdict.OK}
    said = select(Decision).where(col(Decision.inspection_id).in_(rows), counts()).order_by(col(Decision.id))
    words = {word.inspection_id: word for word in session.exec(said)}
    alike = select(Exposure).where(
        col(Exposure.inspection_id).in_(rows),
        Exposure.view == here.view,
        Exposure.width == here.width,
        Exposure.height == here.height,
        Exposure.original_key != GONE,
    )
    if not here.view:
        alike = alike.where(Exposure.n == n)
    found = {exposure.inspection_id: exposure for exposure in session.exec(alike)}
    usable = [id for id in rows if id in found and (id not in words or words[id].verdict == Verdict.OK)]
    chosen = next((id for id in usable if id in words), usable[0] if usable else None)
    if chosen is None:
        return None
    return Good(rows[chosen], found[chosen], words[chosen].by if chosen in words else "")


class Comparer:
    """Lays good parts under others, one pair at a time: the line's own work goes before. For any thread."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], Floats | None] = OrderedDict()
        self._lock = threading.Lock()

    def difference(self, cache: Cache, this: Taken, good: Taken, box: Box) -> tuple[NDArray[np.uint8], Laid]:
        """The absolute difference in brightness within a part of this picture, `GAIN` times; black where equal.

        The good part is made as bright as this one (by the median) before. Beyond its edge nothing differs.

        Args:
            box: in pixels of this picture.

        Raises:
            InvalidInput: the box lies outside of the picture, or the pictures differ in size.
        """
        size = (this.exposure.width, this.exposure.height)
        if size != (good.exposure.width, good.exposure.height):
            raise InvalidInput(f"these pictures differ in size: {size} and {good.exposure.width, good.exposure.height}")
        box = _within(box, *size)
        with self._lock:
            matrix = self._laid(cache, this, good, size)
        one, factor = pictures.window(cache, this.exposure.sha256, size, box, SIDE, decode=this.decode)
        two = pictures.level(cache, good.exposure.sha256, size, factor, decode=good.decode)
        return _difference(_grey(one), two, matrix, box, factor), "as it lay" if matrix is None else "registered"

    def _laid(self, cache: Cache, this: Taken, good: Taken, size: tuple[int, int]) -> Floats | None:
        pair = this.exposure.sha256, good.exposure.sha256
        if pair in self._known:
            self._known.move_to_end(pair)
            return self._known[pair]
        whole = Box(0, 0, *size)
        small = [
            pictures.window(cache, one.exposure.sha256, size, whole, SIDE, decode=one.decode) for one in (good, this)
        ]
        answer = register(small[0][0], small[1][0])
        found = None if isinstance(answer, Refusal) else from_level(answer.matrix, small[0][1])
        self._known[pair] = found
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return found


def _within(box: Box, width: int, height: int) -> Box:
    left, top = max(box.x, 0), max(box.y, 0)
    right, bottom = min(box.right, width), min(box.bottom, height)
    if right <= left or bottom <= top:
        raise InvalidInput(f"there is nothing of the picture ({width} x {height} px) in this box")
    return Box(left, top, right - left, bottom - top)


def _grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture if picture.ndim == 2 else np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _difference(
    one: NDArray[np.uint8], level: NDArray[np.uint8], matrix: Floats | None, box: Box, factor: int
) -> NDArray[np.uint8]:
    """Where they differ.

    Args:
        one: what lies in the box, on its level; grey.
        level: the whole good picture on the same level.
        matrix: from the good picture to this one, at full size; None: as it lay.
    """
    height, width = one.shape
    place = np.eye(3) if matrix is None else to_level(matrix, factor)
    place = np.array([[1, 0, -(box.x // factor)], [0, 1, -(box.y // factor)], [0, 0, 1.0]]) @ place
    corners = np.array([[[0, 0]], [[width, 0]], [[width, height]], [[0, height]]], np.float64)
    there = cv2.perspectiveTransform(corners, np.linalg.inv(place))[:, 0]
    left, top = np.maximum(np.floor(there.min(axis=0)).astype(int) - 2, 0)
    right, bottom = np.maximum(np.ceil(there.max(axis=0)).astype(int) + 2, 0)
    two = _grey(np.ascontiguousarray(level[top:bottom, left:right]))
    if two.size == 0:
        return np.zeros_like(one)
    place = place @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1.0]])
    laid = cv2.warpPerspective(two, place, (width, height), flags=cv2.INTER_LINEAR)
    seen = cv2.warpPerspective(np.full_like(two, 255), place, (width, height), flags=cv2.INTER_NEAREST) == 255
    if not seen.any():
        return np.zeros_like(one)
    brighter = float(np.median(one[seen])) - float(np.median(laid[seen]))
    apart = np.abs(one.astype(np.float32) - laid.astype(np.float32) - brighter) * GAIN
    return np.asarray(np.where(seen, np.minimum(apart, 255.0), 0.0), np.uint8)
