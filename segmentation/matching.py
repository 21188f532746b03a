"""One image's answer beside its truth: which defects were found, which answers are false alarms, which pixels agree.

A prediction is right if at least a tenth of its pixels lie on drawn defects; otherwise it is a false alarm. A
defect is found, at a score, if right predictions of at least that score cover a tenth of its pixels together. So a
blob over half the frame finds nothing, and a scratch found in three pieces is found. Pixels that nobody knows
(IGNORE) are on neither side; a prediction that lies mostly on them and not on a drawn defect is neither right nor
wrong, and no reason to call the image good or bad. The class plays no part here: `confusion` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.dataset import IGNORE
from qc.defects import Blob, find_blobs, frame_score, outline, probability
from qc.geometry import Box
from qc.halves import highest
from qc.measuring import course
from qc.ports import Segmentation
from segmentation.curves import OverlapCounts, overlap_counts
from segmentation.first_look import SURELY
from segmentation.image_score import ImageScore

SHARE = 0.1
"""Thin defects are drawn a pixel or two beside where they are; a tenth in common is the same defect, not chance."""

SPECK_PX = 4
"""Drawn regions of fewer pixels are slips of a brush, not defects; finding them is neither right nor wrong."""

KEPT_ALARMS = 3
"""Of every image so many false alarms can be shown; a bad model would fill the memory with outlines."""


@dataclass(frozen=True, slots=True)
class TrueDefect:
    """A defect that somebody drew."""

    class_id: int
    area_px: int
    found_at: float | None
    """The highest score at which predictions find it; None: never."""
    box: Box
    length_px: float
    """Along its curve (`qc.measuring`)."""
    answered_px: int = 0
    """Of its pixels those that predictions at the model's threshold hold."""
    beyond_px: float = 0.0
    """What these predictions hold beside drawn defects; split, by what it holds of each, where one lies on several."""


Rings = tuple[tuple[tuple[int, int], ...], ...]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """All that evaluation needs to know of one image."""

    image: str
    part: str
    score: float
    """The image's own score: how likely it shows a defect where somebody knows; orders images."""
    surest: float
    """The score of its surest pixel, which is that of its surest defect: what thresholds are compared with."""
    defective: bool
    """Somebody drew a defect."""
    defects: tuple[TrueDefect, ...]
    alarms: tuple[float, ...]
    """Scores of the false alarms."""
    confusion: NDArray[np.int64]
    """`K x K` pixels: truth by answer at the model's threshold; index 0 background, then classes by ascending id."""
    hits: tuple[float, ...]
    """Scores of the predictions that are right."""
    worst_alarms: tuple[tuple[float, Rings], ...]
    """Score and outline of the surest false alarms, at most `KEPT_ALARMS`."""
    overlap: OverlapCounts
    class_scores: Mapping[int, float] = field(default_factory=dict)
    """Score of the surest prediction of each class; a class without one is missing."""


def facts(
    seen: Segmentation,
    truth: NDArray[np.uint8],
    classes: Mapping[int, str],
    *,
    threshold: float,
    edge: float | None = None,
    image: str = "",
    part: str = "",
    image_score: ImageScore | None = None,
) -> ImageFacts:
    """Compare an answer with the truth.

    Args:
        seen: the answer, `H x W`.
        truth: `H x W` class ids.
        classes: class id to name.
        threshold, edge: as in `qc.defects.find_blobs`.
        image, part: their names.
        image_score: how the score of an answer comes about, so that what nobody knows can be left out of it; None:
            from its surest pixel, unless the answer has one and all of the image is known.
    """
    blobs = find_blobs(seen, threshold=threshold, edge=edge)
    known = truth != IGNORE
    drawn = known & (truth > 0)
    answer = np.zeros(truth.shape, np.uint8)
    for blob in blobs:
        if blob.counts:
            answer[blob.place][blob.pixels] = blob.class_id
    right, wrong, neither = sorted_out(blobs, truth)
    class_scores = dict[int, float]()
    for blob in (*right, *wrong):
        class_scores[blob.class_id] = max(blob.score, class_scores.get(blob.class_id, 0.0))
    judged = _without(seen, known, neither)
    if image_score is not None and judged is not seen:
        judged = replace(judged, score=image_score(judged, threshold=threshold, edge=edge or threshold))

    defects, shares = _drawn_defects(seen, truth, drawn, right, classes)
    return ImageFacts(
        image=image,
        part=part,
        score=frame_score(judged),
        surest=probability(highest(judged.log_odds)),
        defective=bool(drawn.any()),
        defects=tuple(defects),
        alarms=tuple(b.score for b in wrong),
        confusion=confusion(truth[known], answer[known], classes),
        hits=tuple(b.score for b in right),
        worst_alarms=tuple((b.score, outline(b.pixels, dx=b.box.x, dy=b.box.y)) for b in wrong[:KEPT_ALARMS]),
        overlap=overlap_counts(seen.log_odds[known & ~drawn], shares, [d.class_id for d in defects]),
        class_scores=class_scores,
    )


def sorted_out(blobs: Sequence[Blob], truth: NDArray[np.uint8]) -> tuple[list[Blob], list[Blob], list[Blob]]:
    """Predictions that are right, wrong, and neither because nobody knows most of where they lie; each surest first."""
    right, wrong, neither = list[Blob](), list[Blob](), list[Blob]()
    for blob in sorted(blobs, key=lambda b: -b.score):
        below = truth[blob.place][blob.pixels]
        known = below[below != IGNORE]
        drawn = int(np.count_nonzero(known))
        if drawn and drawn >= SHARE * len(known):
            right.append(blob)
        else:
            (wrong if 2 * len(known) >= len(below) else neither).append(blob)
    return right, wrong, neither


def as_far_as_known(
    seen: Segmentation, truth: NDArray[np.uint8], *, threshold: float, edge: float | None = None
) -> Segmentation:
    """The answer with background, surely, where nobody knows, and where predictions lie that are neither right nor
    wrong, as their last pixels reach into what is known; it has no score of its own then. Arguments as for `facts`."""
    known = truth != IGNORE
    if known.all():
        return seen
    return _without(seen, known, sorted_out(find_blobs(seen, threshold=threshold, edge=edge), truth)[2])


def _without(seen: Segmentation, known: NDArray[np.bool_], neither: Sequence[Blob]) -> Segmentation:
    if known.all():
        return seen
    log_odds = np.where(known, seen.log_odds, np.float16(SURELY))
    for blob in neither:
        log_odds[blob.place][blob.pixels] = SURELY
    return replace(seen, log_odds=log_odds, score=None)


def _drawn_defects(
    seen: Segmentation,
    truth: NDArray[np.uint8],
    drawn: NDArray[np.bool_],
    right: Sequence[Blob],
    classes: Mapping[int, str],
) -> tuple[list[TrueDefect], list[NDArray[np.float16]]]:
    """What somebody drew, class by class, beside the predictions that are right (surest first); the log-odds of each.

    `drawn` are the pixels of all of them.
    """
    defects, log_odds = [], []
    known = truth != IGNORE
    # Pixels beside drawn defects for each pixel on one: a prediction on several defects is shared out by this.
    beside = [(b.pixels & known[b.place]).sum() / max((b.pixels & drawn[b.place]).sum(), 1) - 1.0 for b in right]
    for class_id in classes:
        count, labels, stats, _ = cv2.connectedComponentsWithStats((truth == class_id).astype(np.uint8), connectivity=8)
        covered, found_at = np.zeros(count, np.int64), dict[int, float]()
        answered, beyond = np.zeros(count, np.int64), np.zeros(count)
        for blob, share in zip(right, beside, strict=True):
            on = np.bincount(labels[blob.place][blob.pixels], minlength=count)
            covered += on
            if blob.counts:
                answered += on
                beyond += share * on
            for k in np.flatnonzero(covered >= SHARE * stats[:, cv2.CC_STAT_AREA]).tolist():
                if covered[k]:
                    found_at.setdefault(k, blob.score)
        for k in range(1, count):
            x, y, width, height, area = (int(v) for v in stats[k])
            if area >= SPECK_PX:
                own = labels[y : y + height, x : x + width] == k
                length, found = course(own).length_px, found_at.get(k)
                box = Box(x, y, width, height)
                defects.append(TrueDefect(class_id, area, found, box, length, int(answered[k]), float(beyond[k])))
                log_odds.append(seen.log_odds[y : y + height, x : x + width][own])
    return defects, log_odds


def confusion(truth: NDArray[np.uint8], answer: NDArray[np.uint8], classes: Mapping[int, str]) -> NDArray[np.int64]:
    """`K x K` pixel counts, truth by answer."""
    place = np.zeros(256, np.int64)
    for number, class_id in enumerate(sorted(classes), start=1):
        place[class_id] = number
    k = len(classes) + 1
    return np.bincount(place[truth] * k + place[answer], minlength=k * k).reshape(k, k)
