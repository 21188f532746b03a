"""What a frozen data set takes over from the one it is mixed with: images, masks, and what is known beside pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.formats.common import link
from labeling.masks import translation
from labeling.push import png
from qc.dataset import FALSE_ALARMS, IGNORE, QUALITY, WEIGHTS, DataSet, Sample
from qc.errors import InvalidInput
from qc.frame import picture_size
from qc.records import Exposure

OUR_SOURCE = "labels from Label Studio"

SAME_SCALE = 0.02
"""Scales that differ by less are one: lengths are stored with few digits."""

COLUMNS = ["file", "split", "part", "view", "group", "origin", FALSE_ALARMS, QUALITY]


@dataclass(frozen=True, slots=True)
class Row:
    """One image of the set to be."""

    file: str
    split: str
    part: str
    view: str
    group: str
    origin: str
    """`labels`, or the name of the data set that it was taken from."""
    false_alarms: str = ""
    label_quality: str = ""
    further: Mapping[str, str] = field(default_factory=dict)
    """Columns of the base's split.csv that only people and other tools know, such as `inspector:anna`."""


def mixed(work: Path, rows: list[Row], base: DataSet, classes: Mapping[int, str]) -> list[Row]:
    """Our images and the base's; of an image that is in both, what the base's split.csv knows further of it."""
    ids = translation(base.classes, classes, where=base.name)
    known = {sample.name: sample for sample in base.samples}
    twice = {Path(row.file).stem for row in rows} & set(known)
    ours = [
        replace(row, further=_further(known[Path(row.file).stem])) if Path(row.file).stem in twice else row
        for row in rows
    ]
    return ours + [_take_over(work, sample, ids, base.name) for name, sample in known.items() if name not in twice]


def _further(sample: Sample) -> dict[str, str]:
    return {name: value for name, value in sample.columns.items() if name and name not in COLUMNS}


def about_base(base: DataSet, exposures: Sequence[Exposure]) -> dict[str, Any]:
    """What dataset.yaml of the new set keeps of the base's."""
    source = f"{OUR_SOURCE}, mixed with {base.name}" + (f" ({base.source})" if base.source else "")
    kept = {"mm_per_px": _scale(base, exposures), "licence": base.licence, "source": source}
    return {name: value for name, value in kept.items() if value is not None}


def _scale(base: DataSet, exposures: Sequence[Exposure]) -> float | None:
    """The base's `mm_per_px` if our pictures have it too: a data set has one scale, and rendered parts have their own.

    A picture has it where the station measured its defects in millimetres at that scale. Where nothing was measured on
    it, it must be as large as one of the base's: then it may come from the same camera.
    """
    if base.mm_per_px is None:
        return None
    unmeasured = set[tuple[int, int]]()
    for exposure in exposures:
        longest = max(exposure.defects, key=lambda d: float(d.get("length_px") or 0), default={})
        if not longest.get("length_mm") or not longest.get("length_px"):
            unmeasured.add((exposure.width, exposure.height))
        elif not math.isclose(longest["length_mm"] / longest["length_px"], base.mm_per_px, rel_tol=SAME_SCALE):
            return None
    pictures = iter(base.samples)
    while unmeasured and (sample := next(pictures, None)) is not None:
        unmeasured.discard(picture_size(sample.image.read_bytes(), name=sample.image.name))
    return None if unmeasured else base.mm_per_px


def _take_over(work: Path, sample: Sample, ids: NDArray[np.uint8], origin: str) -> Row:
    """An image of the base set, and its mask with our class ids."""
    link(sample.image, work / "images" / sample.image.name)
    if sample.mask is not None:
        target = work / "masks" / f"{sample.name}.png"
        if (ids == np.where(ids == IGNORE, IGNORE, np.arange(256))).all():  # the same ids: the file can stay as it is
            link(sample.mask, target)
        else:
            mask = cv2.imdecode(np.frombuffer(sample.mask.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
            if mask is None or mask.ndim != 2 or mask.dtype != np.uint8:
                raise InvalidInput(
                    f"mask {sample.mask.name} of the base set is damaged or has not one channel of 8 bit"
                )
            target.write_bytes(png(ids[mask]))
    if sample.weight is not None:
        link(sample.weight, work / WEIGHTS / sample.weight.name)
    origin = sample.columns.get("origin") or origin
    kept = sample.columns
    return Row(
        sample.image.name,
        sample.split,
        sample.part,
        sample.view,
        sample.group,
        origin,
        kept.get(FALSE_ALARMS, ""),
        kept.get(QUALITY, ""),
        _further(sample),
    )
