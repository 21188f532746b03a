"""A new model against the one that serves, on the same held-back parts: should it take over?

The rule, for now: the challenger must not let more defective images pass than the champion does (an escape is what
reaches the customer), must not be clearly worse in finding defects, and must be better overall. Overall is the mean
of four figures in [0, 1]: recall at 0.1 and at 1 false alarm an image, image AP, and mean IoU of the classes.
"Clearly" means that the 95 % interval of the difference, from resampling the same parts for both, lies below zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qc.dataset import DataSet
from qc.ports import Segmenter
from qc.progress import Progress, within
from segmentation.evaluate import all_classes, image_facts
from segmentation.matching import ImageFacts
from segmentation.metrics import (
    RESAMPLES,
    Figures,
    Floats,
    average_precision,
    collect,
    intersection_over_union,
    recall_at,
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it."""

    promote: bool
    reason: str
    """In words and numbers."""
    champion: dict[str, Any]
    """Figures of the champion on the parts of the comparison."""
    challenger: dict[str, Any]
    difference: dict[str, Any]
    """Challenger less champion: overall and defect recall, with 95 % intervals, and the number of parts."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, to be kept with the challenger."""
        return asdict(self)


def compare(
    champion: Segmenter,
    challenger: Segmenter,
    dataset: DataSet,
    *,
    split: str = "val",
    progress: Progress | None = None,
    seed: int = 0,
) -> Comparison:
    """Both look at every labelled image of `split`.

    Raises:
        InvalidInput: nothing is labelled there, or the classes do not fit.
    """
    all_classes(champion, dataset), all_classes(challenger, dataset)

    old = image_facts(champion, dataset, split=split, progress=within(progress, 0.0, 0.5))
    new = image_facts(challenger, dataset, split=split, progress=within(progress, 0.5, 0.5))
    a, b = _Judged(old, champion.threshold), _Judged(new, challenger.threshold)
    parts = a.figures.parts
    weights = (
        np.random.default_rng(seed).multinomial(parts, np.full(parts, 1 / parts), size=RESAMPLES).astype(np.float64)
    )
    once = np.ones(parts)
    overall = np.array([b.overall(w) - a.overall(w) for w in weights])
    recall = np.array([b.recall(w) - a.recall(w) for w in weights])
    gain, recall_gain = b.overall(once) - a.overall(once), b.recall(once) - a.recall(once)
    overall_low, overall_high = _interval(overall)
    recall_low, recall_high = _interval(recall)
    promote, reason = _decide(a, b, gain, (overall_low, overall_high), (recall_low, recall_high), parts)
    return Comparison(
        promote=promote,
        reason=reason,
        champion={"model": champion.model_id, **a.summary()},
        challenger={"model": challenger.model_id, **b.summary()},
        difference={
            "overall": {"value": round(gain, 5), "low": overall_low, "high": overall_high},
            "defect_recall": {"value": round(recall_gain, 5), "low": recall_low, "high": recall_high},
            "parts": parts,
            "split": split,
        },
    )


def _decide(
    a: _Judged, b: _Judged, gain: float, overall: tuple[float, float], recall: tuple[float, float], parts: int
) -> tuple[bool, str]:
    proof = f"on {parts} held-back parts, interval {overall[0]:+.3f} to {overall[1]:+.3f}"
    if not a.figures.image_defective.any():
        return (
            False,
            "none of the held-back parts shows a defect, so nothing can be said; label defective parts for val",
        )
    if b.escapes > a.escapes:
        return (
            False,
            f"it lets {b.escapes} defective images pass where the champion lets {a.escapes} of {b.defective} pass",
        )
    if recall[1] < 0:
        return False, f"it finds fewer defects: recall {recall[0]:+.3f} to {recall[1]:+.3f} against the champion"
    if gain <= 0:
        return False, f"it is not better overall: {gain:+.3f} {proof}"
    certain = "" if overall[0] > 0 else "; the gain may be chance, but nothing got worse"
    return True, (
        f"better overall by {gain:+.3f} {proof}{certain}; escapes {b.escapes} against {a.escapes} of {b.defective} "
        f"defective images, false rejects {b.overkill} against {a.overkill} of {b.clean} clean ones"
    )


class _Judged:
    """One of the two with its facts."""

    def __init__(self, facts: Sequence[ImageFacts], threshold: float) -> None:
        self.figures: Figures = collect(facts)
        self.defective = sum(f.defective for f in facts)
        self.clean = len(facts) - self.defective
        self.escapes = sum(f.defective and f.score < threshold for f in facts)
        self.overkill = sum(not f.defective and f.score >= threshold for f in facts)
        shape = self.figures.confusion.shape[1:]
        self._by_part = np.zeros((self.figures.parts, *shape))
        np.add.at(self._by_part, self.figures.image_part, self.figures.confusion)

    def recall(self, weight: Floats) -> float:
        """The mean of the recalls at 0.1 and 1 false alarms an image; NaN without a defect."""
        return (recall_at(self.figures, weight, 0.1) + recall_at(self.figures, weight, 1.0)) / 2

    def overall(self, weight: Floats) -> float:
        """The mean of what can be told of the four figures; NaN without a defect."""
        f = self.figures
        iou = intersection_over_union(np.tensordot(weight, self._by_part, axes=1))[1:]
        four = [
            recall_at(f, weight, 0.1),
            recall_at(f, weight, 1.0),
            average_precision(f.image_score, f.image_defective, weight[f.image_part]),
            float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan"),
        ]
        return float(np.mean(four))

    def summary(self) -> dict[str, Any]:
        once = np.ones(self.figures.parts)
        iou = intersection_over_union(self._by_part.sum(axis=0))[1:]
        named = {
            "overall": self.overall(once),
            "defect_recall_at_0.1": recall_at(self.figures, once, 0.1),
            "defect_recall_at_1": recall_at(self.figures, once, 1.0),
            "image_ap": average_precision(
                self.figures.image_score, self.figures.image_defective, np.ones(len(self.figures.image_score))
            ),
            "mean_class_iou": float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan"),
        }
        figures: dict[str, Any] = {k: round(v, 5) if np.isfinite(v) else None for k, v in named.items()}
        return {
            **figures,
            "escapes": int(self.escapes),
            "false_rejects": int(self.overkill),
            "defective_images": int(self.defective),
            "clean_images": int(self.clean),
        }


def _interval(drawn: Floats) -> tuple[float, float]:
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return 0.0, 0.0
    low, high = np.quantile(known, [0.025, 0.975])
    return round(float(low), 5), round(float(high), 5)
