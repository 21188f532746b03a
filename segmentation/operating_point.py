"""What a model's numbers mean, settled on validation parts: calibrated log-odds, and the threshold of a defect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.dataset import IGNORE
from qc.defects import logit
from qc.ports import Segmentation
from segmentation.matching import ImageFacts, confusion, facts
from segmentation.metrics import intersection_over_union

EDGES = (0.06, 0.08, 0.1, 0.13, 0.17, 0.22, 0.28, 0.36, 0.45, 0.55, 0.65, 0.75, 0.85)
"""Where defects may end; just above the doubtful (`qc.defects.DOUBT`) at the lowest."""

THRESHOLDS = np.round(np.arange(0.1, 0.951, 0.01), 2)
"""Where we look: below 0.1 it would meet the doubtful, above 0.95 a network is not trusted that far."""

MOST_SURE = 7.0
"""Log-odds beyond which no threshold lies: 0.999."""

DEFAULT = 0.5
"""Where the validation parts show no defect."""


class Tally:
    """Counts pixels of validation images by answer and truth, for every threshold at once."""

    def __init__(self, classes: Mapping[int, str]) -> None:
        self._ids = sorted(classes)
        steps = len(THRESHOLDS)
        self._edges = np.array([logit(t) for t in THRESHOLDS], np.float32)
        self._both = np.zeros((len(self._ids), steps + 1), np.int64)
        self._said = np.zeros((len(self._ids), steps + 1), np.int64)
        self._drawn = np.zeros(len(self._ids), np.int64)

    def add(self, seen: Segmentation, truth: NDArray[np.uint8]) -> None:
        """Count one image."""
        for row, class_id in enumerate(self._ids):
            drawn = truth == class_id
            said = (seen.class_id == class_id) & (truth != IGNORE) & (seen.log_odds >= self._edges[0])
            self._drawn[row] += int(drawn.sum())
            for counts, where in ((self._said, said), (self._both, said & drawn)):
                level = np.searchsorted(self._edges, seen.log_odds[where].astype(np.float32), side="right")
                counts[row] += np.bincount(level, minlength=counts.shape[1])

    def best(self) -> tuple[float, float]:
        """The threshold with the highest IoU, averaged over the classes drawn, and that IoU.

        Where several are equally good (to 1 %), the middle one: it has room on both sides. `(DEFAULT, 0)` if
        nothing is drawn.
        """
        there = self._drawn > 0
        if not there.any():
            return DEFAULT, 0.0
        # level n: at or above the first n edges, so counts at or above edge i are those of level > i
        both, said = (c[there, ::-1].cumsum(axis=1)[:, ::-1][:, 1:] for c in (self._both, self._said))
        iou = (both / np.maximum(said + self._drawn[there, None] - both, 1)).mean(axis=0)
        best = float(iou.max())
        good = np.flatnonzero(iou >= 0.99 * best)
        return float(THRESHOLDS[good[len(good) // 2]]), best


def settle(
    answers: Sequence[tuple[Segmentation, NDArray[np.uint8]]], classes: Mapping[int, str]
) -> tuple[float, float]:
    """How sure one must be of a defect, and where it ends: `(threshold, edge)`.

    Args:
        answers: to validation images, calibrated, each with its truth, `H x W`.
        classes: of the data set.
    """
    tally = Tally(classes)
    for seen, truth in answers:
        tally.add(seen, truth)
    everywhere, _ = tally.best()
    images = [facts(seen, truth, classes, threshold=everywhere, edge=everywhere) for seen, truth in answers]
    threshold = surest(images, everywhere)
    return threshold, where_it_ends(answers, classes, threshold=threshold)


def where_it_ends(
    answers: Sequence[tuple[Segmentation, NDArray[np.uint8]]], classes: Mapping[int, str], *, threshold: float
) -> float:
    """The edge at which what counts has the highest IoU, averaged over the classes drawn; at most `threshold`.

    `Tally.best` asks every pixel. But what no sure pixel belongs to is no defect, wherever edges lie, so that faint
    texture elsewhere does not speak against a low edge. Where several are equally good (to 1 %), the middle one.
    """
    edges = [edge for edge in EDGES if edge < threshold] or [threshold]
    found = np.zeros((len(edges), len(classes) + 1, len(classes) + 1), np.int64)
    for seen, truth in answers:
        known = truth != IGNORE
        sure = seen.log_odds >= np.float16(logit(threshold))
        for place, edge in enumerate(edges):
            answer = _counting(seen, sure, edge) if sure.any() else np.zeros(truth.shape, np.uint8)
            found[place] += confusion(truth[known], answer[known], classes)
    drawn = found[0, 1:].sum(axis=1) > 0
    if not drawn.any():
        return min(DEFAULT, threshold)
    mean = np.array([np.nanmean(intersection_over_union(counts)[1:][drawn]) for counts in found])
    good = np.flatnonzero(mean >= 0.99 * mean.max())
    return edges[int(good[len(good) // 2])]


def _counting(seen: Segmentation, sure: NDArray[np.bool_], edge: float) -> NDArray[np.uint8]:
    """The classes of the regions above `edge` that hold a sure pixel, each region of its most frequent class."""
    inside = (seen.log_odds >= np.float16(logit(edge))).astype(np.uint8)
    number, labels = cv2.connectedComponents(inside, connectivity=8)
    counts = np.zeros(number, np.bool_)
    counts[labels[sure]] = True
    counts[0] = False
    rows, columns = np.nonzero(counts[labels])
    label = labels[rows, columns].astype(np.int64)
    votes = np.bincount(256 * label + seen.class_id[rows, columns], minlength=256 * number).reshape(number, 256)
    answer = np.zeros(labels.shape, np.uint8)
    answer[rows, columns] = votes.argmax(axis=1)[label]
    return answer


def surest(images: Sequence[ImageFacts], edge: float) -> float:
    """How sure one must be of a defect: the threshold on its score with the fewest mistakes on validation images.

    Mistakes are the share of the drawn defects that are missed plus the share of the clean images with a false alarm
    (Youden's index, J. Youden 1950, doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3). Where several
    thresholds are equally good, the middle one of them in log-odds: it has room on both sides. What mistakes cost is
    not known here; `qc evaluate --costs` chooses by money.

    Args:
        images: as compared with their truth at `edge`.
        edge: where defects end; the threshold is never below it.

    Returns:
        In [edge, 0.999], or `edge` where the images show no defect, or none is clean.
    """
    scores = [d.found_at or 0.0 for f in images for d in f.defects]
    alarms = [max(f.alarms, default=0.0) for f in images if not f.defective]
    if not scores or not alarms:
        return edge
    # The surest pixel of a blob is far surer than most: thresholds stand evenly in log-odds, not in probability.
    levels = np.arange(logit(edge), MOST_SURE, 0.1)
    allowed = 1.0 / (1.0 + np.exp(-levels))
    mistakes = np.array([np.mean(np.less(scores, t)) + np.mean(np.greater_equal(alarms, t)) for t in allowed])
    best = np.flatnonzero(mistakes <= mistakes.min() + 1e-9)
    run = best[: int(np.argmax(np.diff(best, append=-1) != 1)) + 1]  # the first run of neighbours
    return round(float(allowed[run[len(run) // 2]]), 4)


class Calibration:
    """Fits `log-odds = scale * raw + offset`, so that of the pixels called 30 % defective about 30 % are.

    The focal loss leaves a network less sure of the obvious than it should be. Platt 1999's sigmoid fit cures that: two
    numbers, by Newton's method on the counts of raw log-odds of validation pixels, which loses nothing.
    """

    def __init__(self) -> None:
        self._edges = np.linspace(-20.0, 20.0, 401, dtype=np.float32)
        self._counts = np.zeros((2, len(self._edges) + 1))

    def add(self, seen: Segmentation, truth: NDArray[np.uint8]) -> None:
        """Count one image."""
        known = truth != IGNORE
        level = np.searchsorted(self._edges, seen.log_odds[known].astype(np.float32))
        defect = truth[known] > 0
        for row in (0, 1):
            self._counts[row] += np.bincount(level[defect == row], minlength=self._counts.shape[1])

    def fit(self) -> tuple[float, float]:
        """`(scale, offset)`; `(1, 0)` where only one kind of pixel was seen. Scale in [0.5, 4]: more would be luck."""
        if (self._counts.sum(axis=1) == 0).any():
            return 1.0, 0.0
        step = float(self._edges[1] - self._edges[0])
        raw = np.concatenate([self._edges - step / 2, [self._edges[-1] + step / 2]]).astype(np.float64)
        inputs = np.stack([raw, np.ones_like(raw)], axis=1)
        total, positive = self._counts.sum(axis=0), self._counts[1]
        # A weak pull towards (1, 0), worth a thousandth of the defect pixels, keeps it finite when all is separable.
        pull = 1e-3 * positive.sum()
        fitted = np.array([1.0, 0.0])
        for _ in range(50):
            chance = 1 / (1 + np.exp(-np.clip(inputs @ fitted, -60, 60)))
            gradient = inputs.T @ (total * chance - positive) + pull * (fitted - [1.0, 0.0])
            curvature = (inputs * (total * chance * (1 - chance))[:, None]).T @ inputs + pull * np.eye(2)
            move = np.linalg.solve(curvature, gradient)
            fitted = fitted - np.clip(move, -1.0, 1.0)
            if np.abs(move).max() < 1e-8:
                break
        return round(float(np.clip(fitted[0], 0.5, 4.0)), 4), round(float(np.clip(fitted[1], -8.0, 8.0)), 4)


def calibrated(log_odds: NDArray[np.float16] | NDArray[np.float32], scale: float, offset: float) -> NDArray[np.float16]:
    """`scale * log_odds + offset`, in half precision."""
    return np.clip(log_odds.astype(np.float32) * np.float32(scale) + np.float32(offset), -30000, 30000).astype(
        np.float16
    )
