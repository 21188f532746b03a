"""Figures from the facts of many images, each with a 95 % interval from resampling the parts.

Parts, not images, are drawn again: eight views of one part are not eight independent proofs. Every figure is a function
of weights (how often each part was drawn), so the figure itself is the one with all weights 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qc.errors import InvalidInput
from segmentation.matching import ImageFacts

Floats = NDArray[np.float64]
RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Figures:
    """The facts of a split as arrays; `*_part` are indices into the parts."""

    parts: int
    image_part: NDArray[np.int64]
    image_score: Floats
    image_surest: Floats
    """The scores of their surest defects."""
    image_defective: NDArray[np.bool_]
    defect_part: NDArray[np.int64]
    defect_class: NDArray[np.int64]
    defect_found_at: Floats
    """-1 where it was never found."""
    defect_length_px: Floats
    defect_area_px: Floats
    defect_answered_px: Floats
    defect_beyond_px: Floats
    """The last two as `TrueDefect` has them."""
    alarm_part: NDArray[np.int64]
    alarm_score: Floats
    """Highest first, and only the highest four an image."""
    confusion: NDArray[np.int64]
    """`images x K x K`."""


def collect(facts: Sequence[ImageFacts]) -> Figures:
    """Facts of at least one image as arrays."""
    if not facts:
        raise InvalidInput("there is no labelled image to evaluate; add masks, or choose another --split")
    names = {name: i for i, name in enumerate(dict.fromkeys(f.part for f in facts))}
    defects = [
        (names[f.part], d.class_id, -1.0 if d.found_at is None else d.found_at, d.length_px)
        for f in facts
        for d in f.defects
    ]
    # More than one alarm an image is never asked for; four leave room for resampling.
    alarms = sorted(((names[f.part], a) for f in facts for a in f.alarms), key=lambda a: -a[1])[: 4 * len(facts) + 50]
    return Figures(
        parts=len(names),
        image_part=np.array([names[f.part] for f in facts], np.int64),
        image_score=np.array([f.score for f in facts], np.float64),
        image_surest=np.array([f.surest for f in facts], np.float64),
        image_defective=np.array([f.defective for f in facts], np.bool_),
        defect_part=np.array([d[0] for d in defects], np.int64),
        defect_class=np.array([d[1] for d in defects], np.int64),
        defect_found_at=np.array([d[2] for d in defects], np.float64),
        defect_length_px=np.array([d[3] for d in defects], np.float64),
        defect_area_px=np.array([d.area_px for f in facts for d in f.defects], np.float64),
        defect_answered_px=np.array([d.answered_px for f in facts for d in f.defects], np.float64),
        defect_beyond_px=np.array([d.beyond_px for f in facts for d in f.defects], np.float64),
        alarm_part=np.array([a[0] for a in alarms], np.int64),
        alarm_score=np.array([a[1] for a in alarms], np.float64),
        confusion=np.stack([f.confusion for f in facts]),
    )


def average_precision(score: Floats, positive: NDArray[np.bool_], weight: Floats) -> float:
    """Area under the precision-recall steps; equal scores are one step. NaN without a positive.

    `sum (R_n - R_(n-1)) P_n`, as scikit-learn's `average_precision_score`.
    """
    hits, alarms = _cumulated(score, positive, weight)
    if len(hits) == 0 or hits[-1] == 0:
        return float("nan")
    precision = hits / np.maximum(hits + alarms, 1e-12)
    return float((np.diff(hits, prepend=0.0) / hits[-1] * precision).sum())


def auroc(score: Floats, positive: NDArray[np.bool_], weight: Floats) -> float:
    """The chance that a positive scores higher than a negative, ties half. NaN without both kinds."""
    hits, alarms = _cumulated(score, positive, weight)
    if len(hits) == 0 or hits[-1] == 0 or alarms[-1] == 0:
        return float("nan")
    y, x = np.concatenate([[0.0], hits / hits[-1]]), np.concatenate([[0.0], alarms / alarms[-1]])
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())


def _cumulated(score: Floats, positive: NDArray[np.bool_], weight: Floats) -> tuple[Floats, Floats]:
    """Weights of positives and negatives at or above every distinct score, from the highest down."""
    order = np.argsort(-score, kind="stable")
    score, positive, weight = score[order], positive[order], weight[order]
    last = np.flatnonzero(np.append(np.diff(score) != 0, True)) if len(score) else np.zeros(0, np.int64)
    return np.cumsum(weight * positive)[last], np.cumsum(weight * ~positive)[last]


def recall_at(
    figures: Figures, part_weight: Floats, alarms_per_image: float, *, of: NDArray[np.bool_] | None = None
) -> float:
    """Share of drawn defects found at the lowest score that has at most `alarms_per_image` false alarms an image.

    Scores are swept over what is reported, down to 0.05 (`qc.defects.DOUBT`). NaN without a defect. `of` asks about
    some of the defects only; the false alarms are those of all.
    """
    allowed = alarms_per_image * part_weight[figures.image_part].sum()
    made = np.cumsum(part_weight[figures.alarm_part])
    too_many = np.flatnonzero(made > allowed + 1e-9)
    limit = figures.alarm_score[too_many[0]] if len(too_many) else -0.5
    weight = part_weight[figures.defect_part]
    if of is not None:
        weight = weight * of
    total = weight.sum()
    return float((weight * (figures.defect_found_at > limit)).sum() / total) if total else float("nan")


def part_scores(figures: Figures, *, of_defects: bool = False) -> tuple[Floats, NDArray[np.bool_]]:
    """Of every part: its worst view's score, or that of its surest defect, and whether any view shows a defect."""
    score = np.full(figures.parts, -np.inf)
    np.maximum.at(score, figures.image_part, figures.image_surest if of_defects else figures.image_score)
    defective = np.zeros(figures.parts, np.bool_)
    np.logical_or.at(defective, figures.image_part, figures.image_defective)
    return score, defective


def intersection_over_union(confusion: NDArray[Any]) -> Floats:
    """`K x K` -> `K`: TP / (TP + FP + FN); NaN for a class that is neither drawn nor predicted."""
    own = np.diagonal(confusion).astype(np.float64)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - own
    iou: Floats = np.divide(own, union, out=np.full(len(own), np.nan), where=union > 0)
    return iou


def pixel_f1(confusion: NDArray[Any]) -> float:
    """F1 of "any defect" against background; NaN if neither drawn nor predicted."""
    both = confusion[1:, 1:].sum()
    either = 2 * both + confusion[0, 1:].sum() + confusion[1:, 0].sum()
    return float(2 * both / either) if either else float("nan")


def report(facts: Sequence[ImageFacts], classes: Mapping[int, str], *, seed: int = 0) -> dict[str, Any]:
    """All figures: `{"value", "low", "high"}` each, null where the split cannot tell."""
    f = collect(facts)
    part_score, part_defective = part_scores(f)
    by_part = np.zeros((f.parts, *f.confusion.shape[1:]), np.float64)
    np.add.at(by_part, f.image_part, f.confusion)

    wanted: dict[str, Callable[[Floats], float]] = {
        "image_ap": lambda w: average_precision(f.image_score, f.image_defective, w[f.image_part]),
        "image_auroc": lambda w: auroc(f.image_score, f.image_defective, w[f.image_part]),
        "part_ap": lambda w: average_precision(part_score, part_defective, w),
    }
    weights = np.random.default_rng(seed).multinomial(f.parts, np.full(f.parts, 1 / f.parts), size=RESAMPLES)
    weights = np.concatenate([np.ones((1, f.parts)), weights])  # the first is the split as it is
    confusions = np.tensordot(weights, by_part, axes=1)  # (1 + RESAMPLES) x K x K
    ious = np.array([intersection_over_union(c) for c in confusions])
    ids = sorted(classes)
    defective_parts = len(np.unique(f.defect_part))
    per_class: dict[str, Any] = {"background": {"iou": interval(ious[:, 0])}}
    for place, class_id in enumerate(ids, start=1):
        own = f.defect_class == class_id
        units = len(np.unique(f.defect_part[own]))
        per_class[classes[class_id]] = {
            "iou": interval(ious[:, place]),
            "defect_recall_at_0.1": share_interval([recall_at(f, w, 0.1, of=own) for w in weights], units),
            "defect_recall_at_1": share_interval([recall_at(f, w, 1.0, of=own) for w in weights], units),
            "defects": int(own.sum()),
        }
    return {
        **{name: share_interval([figure(w) for w in weights], defective_parts) for name, figure in wanted.items()},
        "defect_recall_at_0.1": share_interval([recall_at(f, w, 0.1) for w in weights], defective_parts),
        "defect_recall_at_1": share_interval([recall_at(f, w, 1.0) for w in weights], defective_parts),
        "pixel_f1": interval([pixel_f1(c) for c in confusions]),
        "mean_iou": interval([float(np.nanmean(iou)) for iou in ious]),  # background is always there
        "classes": per_class,
        "images": len(facts),
        "defective_images": int(f.image_defective.sum()),
        "parts": f.parts,
        "defects": len(f.defect_part),
        "interval": f"95 %, {RESAMPLES} resamples of the parts",
    }


def share_interval(drawn: Sequence[float] | Floats, units: int) -> dict[str, float | None]:
    """`interval` of a share; the exact binomial one where all or nothing was found, as resampling shows no doubt there.

    Also of average precision and area under ROC: where every defective part stands before every clean one, a share `p`
    of future ones that do gives at least `p` of either.

    Args:
        drawn: as in `interval`.
        units: parts that could have shown otherwise; `0.025^(1/units)` is the lower end of "all".

    Source:
        Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404, with parts as the independent trials.
    """
    found = interval(drawn)
    if units and found["value"] == 1.0 == found["low"]:
        found["low"] = round(0.025 ** (1 / units), 5)
    if units and found["value"] == 0.0 == found["high"]:
        found["high"] = round(1 - 0.025 ** (1 / units), 5)
    return found


def interval(drawn: Sequence[float] | Floats) -> dict[str, float | None]:
    """The first value, and the 95 % interval of the others; null where there is none."""
    values = np.asarray(drawn, np.float64)
    known = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    named = {"value": values[0], "low": low, "high": high}
    return {k: round(float(v), 5) if np.isfinite(v) else None for k, v in named.items()}
