"""The worst misses and the worst false alarms, cut out of their pictures, with outlines."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.dataset import DataSet, Sample
from qc.defects import outline
from qc.errors import InvalidInput
from qc.frame import to_8bit
from qc.geometry import Box
from segmentation.data import rgb
from segmentation.matching import ImageFacts, Rings, TrueDefect

SHOWN = 8
"""So many of either kind."""

MARGIN_PX = 40
"""What is shown around a defect, so that one sees where it lies."""

LARGEST_PX = 480
"""Crops with a longer side are made smaller: a page of sixteen stays below 2 MB."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of a picture with outlines, ready for a page."""

    kind: str
    """`miss` or `alarm`."""
    image: str
    text: str
    """What it is, in a few words."""
    width: int
    height: int
    """Of the crop, in pixels of the frame."""
    rings: Rings
    """Outlines, in pixels of the crop."""
    jpeg: str
    """The picture, base64."""


def worst_crops(
    facts: Sequence[ImageFacts], dataset: DataSet, classes: Mapping[int, str], *, threshold: float
) -> list[Crop]:
    """The longest defects that are not found at the threshold, and the surest false alarms; pictures are read again."""
    samples = {s.image.name: s for s in dataset.samples}
    missed = [(d, f.image) for f in facts for d in f.defects if d.found_at is None or d.found_at < threshold]
    missed.sort(key=lambda m: (-m[0].length_px, m[1]))
    alarms = [(score, rings, f.image) for f in facts for score, rings in f.worst_alarms]
    alarms.sort(key=lambda a: (-a[0], a[2]))
    found = [_miss(samples[name], defect, classes, dataset) for defect, name in missed[:SHOWN]]
    return found + [_alarm(samples[name], score, rings) for score, rings, name in alarms[:SHOWN]]


def _miss(sample: Sample, defect: TrueDefect, classes: Mapping[int, str], dataset: DataSet) -> Crop:
    box = defect.box
    drawn = sample.labels(dataset.classes)[box.y : box.bottom, box.x : box.right] == defect.class_id
    rings = outline(drawn, dx=box.x, dy=box.y)
    doubt = "never" if defect.found_at is None else f"only at {defect.found_at:.2f}"
    text = f"{classes[defect.class_id]}, {defect.length_px:.0f} px long, {defect.area_px} px: found {doubt}"
    return _crop("miss", sample, box, rings, text)


def _alarm(sample: Sample, score: float, rings: Rings) -> Crop:
    xs, ys = ([p[axis] for ring in rings for p in ring] for axis in (0, 1))
    box = Box(min(xs), min(ys), max(xs) - min(xs) + 1, max(ys) - min(ys) + 1)
    return _crop("alarm", sample, box, rings, f"nothing is drawn here: score {score:.2f}")


def _crop(kind: str, sample: Sample, box: Box, rings: Rings, text: str) -> Crop:
    pixels = sample.pixels()
    around = box.grown(MARGIN_PX, width=pixels.shape[1], height=pixels.shape[0])
    cut = rgb(to_8bit(pixels)[around.y : around.bottom, around.x : around.right])
    return Crop(
        kind=kind,
        image=sample.image.name,
        text=text,
        width=around.width,
        height=around.height,
        rings=tuple(tuple((x - around.x, y - around.y) for x, y in ring) for ring in rings),
        jpeg=_jpeg(cut),
    )


def _jpeg(pixels: NDArray[np.uint8]) -> str:
    scale = min(1.0, LARGEST_PX / max(pixels.shape[:2]))
    if scale < 1:
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
    done, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not done:
        raise InvalidInput("a crop for the report cannot be written as a JPEG")
    return base64.b64encode(data.tobytes()).decode("ascii")
