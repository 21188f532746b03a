"""Defect: one connected blemish on a frame, with what can be measured on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.frame import camera_bits
from qc.geometry import Box, Calibration
from qc.halves import at_least, highest
from qc.measuring import contrast, course
from qc.ports import Segmentation

DOUBT = 0.05
"""The score down to which doubtful defects are listed (contracts, section 3)."""

CLOSE = math.log(4.0)
"""A defect whose odds are at least a quarter of the threshold's comes close to it: at 0.5, scores from 0.2 on."""

MOST_DOUBTFUL = 200
"""Of the doubtful ones so many are listed for a frame, the surest: a bad model doubts a textured frame everywhere."""

BLOCK_PX, MOST_PIECES = 32, 500
"""Blobs are looked for in pieces of a frame, made of squares of this side; with more pieces, in the whole frame."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One connected blemish. Lengths in frame pixels; in millimetres where the station is calibrated."""

    class_id: int
    class_name: str
    score: float
    """How sure the model is, in [0, 1]."""
    box: Box
    area_px: int
    length_px: float
    """Along the curve, from edge to edge (`qc.measuring`)."""
    width_px: float
    """Across the curve, averaged along it."""
    counts: bool
    """At or above the model's threshold; otherwise it is doubtful."""
    close: bool = True
    """Its odds are at least a quarter of the threshold's: a person should look, unless a rule says otherwise."""
    outline: tuple[tuple[tuple[int, int], ...], ...] = ()
    """Closed rings of pixel centres `(x, y)`: outer edges and the edges of holes."""
    mm_per_px: float | None = None
    angle_deg: float | None = None
    """From the rows' direction, counter-clockwise as seen, in [0, 180); None for what has no direction."""
    contrast: float | None = None
    """Brightness less that of its surroundings, over full scale, in [-1, 1]; None where no picture was given."""

    def as_json(self) -> dict[str, object]:
        """The words of the contract (section 3), and the direction and contrast."""
        scale = Calibration(self.mm_per_px) if self.mm_per_px else None
        return {
            "class": self.class_name,
            "class_id": self.class_id,
            "score": round(self.score, 6),
            "bbox": self.box.as_list(),
            "area_px": self.area_px,
            "length_px": round(self.length_px, 2),
            "width_px": round(self.width_px, 2),
            "area_mm2": round(scale.mm2(self.area_px), 5) if scale else None,
            "length_mm": round(scale.mm(self.length_px), 4) if scale else None,
            "width_mm": round(scale.mm(self.width_px), 4) if scale else None,
            "angle_deg": self.angle_deg,
            "contrast": None if self.contrast is None else round(self.contrast, 4),
        }


def logit(probability: float) -> float:
    """log(p / (1 - p)), for 0 < p < 1."""
    return math.log(probability / (1.0 - probability))


def probability(log_odds: float) -> float:
    """The inverse of `logit`, without overflow."""
    if log_odds >= 0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    small = math.exp(log_odds)
    return small / (1.0 + small)


@dataclass(frozen=True, slots=True)
class Blob:
    """A connected region of a model's answer: what becomes a defect once it is measured."""

    score: float
    """How sure the model is, in [0, 1]."""
    class_id: int
    """The class with the most pixels."""
    box: Box
    pixels: NDArray[np.bool_]
    """`box.height x box.width`: which pixels of the box belong to it."""
    counts: bool
    """At or above the threshold; otherwise it is doubtful."""
    close: bool
    """Its odds are at least a quarter of the threshold's."""

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of its box on the frame."""
        return np.s_[self.box.y : self.box.bottom, self.box.x : self.box.right]


def find_blobs(seen: Segmentation, *, threshold: float, edge: float | None = None, min_area_px: int = 1) -> list[Blob]:
    """Connected regions of a segmented frame: those that count first, then the doubtful ones, each surest first.

    Pixels at or above `edge` are joined (8 neighbours) into blobs. A blob's score is that of its surest pixel; it
    counts at or above `threshold`. What rises above `DOUBT` without touching one of these is a doubtful blob. How sure
    one must be of a defect, and where it ends, are two questions: one number for both either makes defects out of
    faint texture or cuts faint ends off (hysteresis; Canny 1986).

    Args:
        seen: the model's answer for one frame, `H x W`.
        threshold: in (DOUBT, 1).
        edge: in (DOUBT, threshold]; None: `threshold`.
        min_area_px: smaller blobs are specks, and dropped.
    """
    edge = threshold if edge is None else min(edge, threshold)
    certain, doubtful = list[Blob](), list[Blob]()
    for box, doubt in _neighbourhoods(at_least(seen.log_odds, logit(min(DOUBT, edge)))):
        inside = doubt & at_least(_cut(seen.log_odds, box), logit(edge))
        certain += _blobs(seen, box, inside, threshold, min_area_px=min_area_px)
        doubtful += _blobs(seen, box, doubt, threshold, min_area_px=min_area_px, apart_from=inside)
    counting = sorted((b for b in certain if b.counts), key=_surest)
    unsure = sorted([b for b in certain if not b.counts] + doubtful, key=_surest)[:MOST_DOUBTFUL]
    return (counting + unsure)[: np.iinfo(np.uint16).max]


def _neighbourhoods(mask: NDArray[np.bool_]) -> Iterator[tuple[Box, NDArray[np.bool_]]]:
    """Pieces of a mask that do not touch each other, each in its box: most of a large frame is empty.

    A piece holds every pixel of the squares of `BLOCK_PX` that hang together because something is in them.
    """
    height, width = mask.shape
    padded = np.pad(mask, ((0, 0), (0, -width % BLOCK_PX))) if width % BLOCK_PX else mask
    eight = np.bitwise_or.reduceat(padded.view(np.uint64), np.arange(0, height, BLOCK_PX), axis=0)  # pixels in one
    filled = np.asarray(eight.reshape(len(eight), -1, BLOCK_PX // 8).any(axis=2), np.uint8)
    number, labels, stats, _ = cv2.connectedComponentsWithStats(filled, connectivity=8, ltype=cv2.CV_32S)
    if number - 1 > MOST_PIECES:
        yield Box(0, 0, width, height), mask
        return
    for k in range(1, number):
        x, y, wide, high = (int(v) for v in stats[k, :4])
        left, top = x * BLOCK_PX, y * BLOCK_PX
        box = Box(left, top, min(wide * BLOCK_PX, width - left), min(high * BLOCK_PX, height - top))
        own = (labels[y : y + high, x : x + wide] == k).repeat(BLOCK_PX, axis=0).repeat(BLOCK_PX, axis=1)
        yield box, _cut(mask, box) & own[: box.height, : box.width]


def _cut(plane: NDArray[Any], box: Box) -> NDArray[Any]:
    return plane[box.y : box.bottom, box.x : box.right]


def _surest(blob: Blob) -> tuple[float, int, int]:
    return -blob.score, blob.box.y, blob.box.x


def _blobs(
    seen: Segmentation,
    within: Box,
    mask: NDArray[np.bool_],
    threshold: float,
    *,
    min_area_px: int,
    apart_from: NDArray[np.bool_] | None = None,
) -> list[Blob]:
    """The connected regions of `mask`, which lies in the box `within`, without those that touch `apart_from`."""
    log_odds, class_ids = _cut(seen.log_odds, within), _cut(seen.class_id, within)
    number, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    rows, columns = np.nonzero(mask)
    label = labels[rows, columns]
    highest = np.full(number, -np.inf, np.float32)
    np.maximum.at(highest, label.astype(np.int64), log_odds[rows, columns].astype(np.float32))
    wanted = stats[:, cv2.CC_STAT_AREA] >= min_area_px
    wanted[0] = False
    if apart_from is not None:
        wanted[label[apart_from[rows, columns]]] = False
        wanted[np.argsort(-np.where(wanted, highest, -np.inf), kind="stable")[MOST_DOUBTFUL:]] = False
    found = []
    for k in np.flatnonzero(wanted).tolist():
        x, y, width, height = (int(v) for v in stats[k, :4])
        place = np.s_[y : y + height, x : x + width]
        pixels = labels[place] == k
        class_id = int(np.bincount(class_ids[place][pixels]).argmax())
        box = Box(within.x + x, within.y + y, width, height)
        beyond = float(highest[k]) - float(np.float16(logit(threshold)))
        found.append(Blob(probability(float(highest[k])), class_id, box, pixels, beyond >= 0, beyond >= -CLOSE))
    return found


def find_defects(
    seen: Segmentation,
    classes: Mapping[int, str],
    *,
    threshold: float,
    edge: float | None = None,
    min_area_px: int = 1,
    mm_per_px: float | None = None,
    pixels: NDArray[np.uint8] | NDArray[np.uint16] | None = None,
) -> tuple[tuple[Defect, ...], NDArray[np.uint16]]:
    """The blobs of a segmented frame (`find_blobs`), measured.

    Args:
        seen: the model's answer for one frame, `H x W`.
        classes: class id to name.
        threshold: in (DOUBT, 1); a defect counts at or above it.
        edge: in (DOUBT, threshold], where a defect ends; None: `threshold`.
        min_area_px: smaller blemishes are specks, and dropped.
        mm_per_px: the station's calibration, if it has one.
        pixels: the frame itself, `H x W` or `H x W x 3`; then the defects' contrast is measured too.

    Returns:
        The defects, and `H x W` uint16: 0 background, else 1 + the place of the pixel's defect in the list.
    """
    instances = np.zeros(seen.log_odds.shape, np.uint16)
    defects = []
    blobs = find_blobs(seen, threshold=threshold, edge=edge, min_area_px=min_area_px)
    bits = None if pixels is None or not blobs else seen.camera_bits or camera_bits(pixels)  # as the segmenter reads it
    for blob in blobs:
        measured, at = course(blob.pixels), blob.box
        defects.append(
            Defect(
                class_id=blob.class_id,
                class_name=classes.get(blob.class_id, str(blob.class_id)),
                score=blob.score,
                box=blob.box,
                area_px=int(blob.pixels.sum()),
                length_px=measured.length_px,
                width_px=measured.width_px,
                counts=blob.counts,
                close=blob.close,
                outline=outline(blob.pixels, dx=blob.box.x, dy=blob.box.y),
                mm_per_px=mm_per_px,
                angle_deg=measured.angle_deg,
                contrast=None if pixels is None else contrast(pixels, blob.pixels, x=at.x, y=at.y, bits=bits),
            )
        )
        instances[blob.place][blob.pixels] = len(defects)
    return tuple(defects), instances


def frame_score(seen: Segmentation) -> float:
    """How likely a frame shows a defect, in [0, 1]; orders frames. The model's own, or that of its surest pixel."""
    return probability(highest(seen.log_odds)) if seen.score is None else seen.score


def class_mask(defects: tuple[Defect, ...], instances: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """`H x W` class ids of the defects that count; 0 elsewhere."""
    table = np.zeros(len(defects) + 1, np.uint8)
    for place, defect in enumerate(defects, start=1):
        table[place] = defect.class_id if defect.counts else 0
    return table[instances]


def outline(blob: NDArray[np.bool_], *, dx: int = 0, dy: int = 0) -> tuple[tuple[tuple[int, int], ...], ...]:
    """The closed rings around a blob and around its holes, as pixel centres moved by `dx`, `dy`."""
    rings, _ = cv2.findContours(blob.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(dx, dy))
    return tuple(tuple((int(x), int(y)) for x, y in ring[:, 0]) for ring in rings)
