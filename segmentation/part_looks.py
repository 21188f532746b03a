"""The views of a data set's parts as `qc.part_places` wants them: what is drawn on them, and what a model answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.dataset import IGNORE, Sample
from qc.defects import Defect, find_blobs, outline
from qc.geometry import Box
from qc.given import Given
from qc.part_places import Between, Lies, Look
from qc.ports import Segmentation, Segmenter
from segmentation.matching import SPECK_PX, sorted_out


def answered(seen: Segmentation, segmenter: Segmenter, sample: Sample, truth: NDArray[np.uint8]) -> Look:
    """What a model answers on a picture; not measured, for nothing here asks for sizes.

    What is neither right nor wrong by `truth`, `H x W` class ids, is left out (`segmentation.matching`).
    """
    height, width = seen.log_odds.shape
    right, wrong, _ = sorted_out(find_blobs(seen, threshold=segmenter.threshold, edge=segmenter.edge), truth)
    found = [
        _defect(b.class_id, segmenter.classes, b.score, b.box, b.pixels, counts=b.counts, close=b.close)
        for b in sorted([*right, *wrong], key=lambda b: (not b.counts, -b.score, b.box.y, b.box.x))
    ]
    return Look(sample.name, sample.view, width, height, tuple(found))


def drawn(mask: NDArray[np.uint8], classes: Mapping[int, str], sample: Sample) -> Look:
    """What people drew on a picture; where nobody knows, it is not silent."""
    height, width = mask.shape
    found = []
    for class_id in (int(c) for c in np.unique(mask) if c not in (0, IGNORE)):
        count, labels, stats, _ = cv2.connectedComponentsWithStats((mask == class_id).astype(np.uint8), connectivity=8)
        for k in range(1, count):
            x, y, wide, high, area = (int(v) for v in stats[k])
            if area >= SPECK_PX:
                pixels = labels[y : y + high, x : x + wide] == k
                found.append(_defect(class_id, classes, 1.0, Box(x, y, wide, high), pixels, counts=True, close=True))
    known = mask != IGNORE
    return Look(sample.name, sample.view, width, height, tuple(found), known=None if known.all() else known)


def _defect(
    class_id: int,
    classes: Mapping[int, str],
    score: float,
    box: Box,
    pixels: NDArray[np.bool_],
    *,
    counts: bool,
    close: bool,
) -> Defect:
    return Defect(
        class_id=class_id,
        class_name=classes.get(class_id, str(class_id)),
        score=score,
        box=box,
        area_px=int(pixels.sum()),
        length_px=float(max(box.width, box.height)),
        width_px=float(min(box.width, box.height)),
        counts=counts,
        close=close,
        outline=outline(pixels, dx=box.x, dy=box.y),
    )


def as_given(given: Given) -> Between:
    """How a data set's pictures lie on each other, by its `views.yaml`; nowhere else is it known."""

    def between(one: Look, two: Look) -> Lies | None:
        matrix = given.between((one.name, one.view), (two.name, two.view))
        return None if matrix is None else Lies(matrix, given.spread_px)

    return between


def by_part(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """The samples of each part, in their order."""
    parts: dict[str, list[Sample]] = {}
    for sample in samples:
        parts.setdefault(sample.part, []).append(sample)
    return parts
