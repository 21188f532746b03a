"""Sections of the report of `qc evaluate` beyond the plain figures: sizes, curves, detection, money, people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from qc.dataset import Sample
from segmentation.agreement import agreement_report
from segmentation.curves import Scored, area_under_overlap, precision_recall, recall_over_alarms
from segmentation.matching import ImageFacts
from segmentation.metrics import (
    RESAMPLES,
    Figures,
    Floats,
    average_precision,
    collect,
    interval,
    part_scores,
    recall_at,
    share_interval,
)
from segmentation.pod import Pod, probability_of_detection
from segmentation.risk import Costs, Thresholds, choose_thresholds, cost_per_part

SIZES_PX = (0.0, 6.0, 12.0, 25.0, 50.0, 100.0, 200.0)
"""Where the size classes of a report begin, by length; each twice the one before, so that no class hides another."""


class Resamples:
    """The same draws of the parts for every figure of a report."""

    def __init__(self, figures: Figures, *, seed: int = 0) -> None:
        parts = figures.parts
        drawn = np.random.default_rng(seed).multinomial(parts, np.full(parts, 1 / parts), size=RESAMPLES)
        self.weights: Floats = np.concatenate([np.ones((1, parts)), drawn])  # the first is the split as it is
        self._part = figures.image_part

    def of_parts(self, figure: Callable[[Floats], float]) -> dict[str, float | None]:
        """Value and 95 % interval of a figure of part weights."""
        return interval([figure(w) for w in self.weights])

    def of_images(self, figure: Callable[[Floats], float], units: int = 0) -> dict[str, float | None]:
        """Value and 95 % interval of a figure of image weights; `units` as in `share_interval`, of a share."""
        return share_interval([figure(w[self._part]) for w in self.weights], units)


def overlap(
    facts: Sequence[ImageFacts], figures: Figures, draws: Resamples, class_id: int | None = None
) -> dict[str, float | None]:
    """AUPRO up to a false-pixel rate of 0.3, with its interval; of all drawn defects, or of those of one class.

    The log-odds are those of any defect, and false pixels lie beside all defects, whatever their class.
    """
    levels = len(facts[0].overlap.background)
    nothing = np.zeros(levels), 0
    drawn = [
        (f.overlap.regions, f.overlap.count) if class_id is None else f.overlap.classes.get(class_id, nothing)
        for f in facts
    ]
    background, regions = np.zeros((figures.parts, levels)), np.zeros((figures.parts, levels))
    np.add.at(background, figures.image_part, np.stack([f.overlap.background for f in facts]))
    np.add.at(regions, figures.image_part, np.stack([shares for shares, _ in drawn]))
    counts = np.bincount(figures.image_part, [count for _, count in drawn], minlength=figures.parts)
    totals = zip(draws.weights @ background, draws.weights @ regions, draws.weights @ counts, strict=True)
    return interval([area_under_overlap(*total) for total in totals])


def by_class(
    facts: Sequence[ImageFacts], figures: Figures, draws: Resamples, classes: Mapping[int, str]
) -> dict[str, dict[str, Any]]:
    """Of each class, by name: `image_ap`, how well its surest answer orders images by whether they show it; `aupro`."""
    told = {}
    for class_id, name in sorted(classes.items()):
        score = np.array([f.class_scores.get(class_id, 0.0) for f in facts])
        shows = np.array([any(d.class_id == class_id for d in f.defects) for f in facts], np.bool_)
        told[name] = {
            "image_ap": draws.of_images(
                partial(average_precision, score, shows), len(np.unique(figures.image_part[shows]))
            ),
            "aupro": overlap(facts, figures, draws, class_id),
        }
    return told


def by_size(figures: Figures, draws: Resamples, mm_per_px: float | None) -> list[dict[str, Any]]:
    """For defects of each class of length: recall at 0.1 and at 1 false alarms an image, IoU and F1 of their pixels.

    IoU and F1 compare the defects with what the predictions that find them hold, at the model's threshold; predictions
    that find nothing are of no size and count in the figures of the whole split only.
    """
    drawn = draws.weights[:, figures.defect_part]

    def pixels(own: NDArray[np.bool_]) -> dict[str, dict[str, float | None]]:
        weight = drawn * own
        both, area, beyond = (
            weight @ px for px in (figures.defect_answered_px, figures.defect_area_px, figures.defect_beyond_px)
        )
        union, total = area + beyond, area + both + beyond
        return {
            "iou": interval(np.divide(both, union, out=np.full_like(both, np.nan), where=union > 0)),
            "f1": interval(np.divide(2 * both, total, out=np.full_like(both, np.nan), where=total > 0)),
        }

    def recall(alarms: float, own: NDArray[np.bool_]) -> dict[str, float | None]:
        drawn = [recall_at(figures, w, alarms, of=own) for w in draws.weights]
        return share_interval(drawn, len(np.unique(figures.defect_part[own])))

    ends = (*SIZES_PX[1:], np.inf)
    rows = []
    for low, high in zip(SIZES_PX, ends, strict=True):
        own = (figures.defect_length_px >= low) & (figures.defect_length_px < high)
        if not own.any():
            continue
        scale = {} if mm_per_px is None else {"from_mm": round(low * mm_per_px, 5)}
        rows.append(
            {
                "from_px": low,
                "to_px": None if np.isinf(high) else high,
                **scale,
                "defects": int(own.sum()),
                "defect_recall_at_0.1": recall(0.1, own),
                "defect_recall_at_1": recall(1.0, own),
                **pixels(own),
            }
        )
    return rows


def curves(facts: Sequence[ImageFacts], figures: Figures, draws: Resamples) -> dict[str, Any]:
    """Precision over recall of defects, and recall over false alarms; each point with its intervals."""

    def scored(of_images: Sequence[Sequence[float]]) -> Scored:
        parts = np.repeat(figures.image_part, [len(scores) for scores in of_images])
        return Scored(np.array([s for scores in of_images for s in scores], np.float64), parts)

    hits, alarms = scored([f.hits for f in facts]), scored([f.alarms for f in facts])
    found_at = Scored(figures.defect_found_at, figures.defect_part)
    return {
        "precision_recall": precision_recall(hits, alarms, found_at, draws.weights),
        "recall_over_false_alarms": recall_over_alarms(alarms, found_at, figures.image_part, draws.weights),
    }


def detection(
    figures: Figures, classes: Mapping[int, str], threshold: float, mm_per_px: float | None
) -> dict[str, Any]:
    """Probability of detection over length at the model's threshold: of all defects and of every class."""
    found = figures.defect_found_at >= threshold
    scale = 1.0 if mm_per_px is None else mm_per_px

    def of(own: NDArray[np.bool_]) -> dict[str, Any]:
        sizes = figures.defect_length_px[own] * scale
        return pod_as_json(probability_of_detection(sizes, found[own]))

    return {
        "size": "length along the curve",
        "unit": "px" if mm_per_px is None else "mm",
        "at_score": threshold,
        "all": of(np.ones(len(found), bool)),
        "classes": {name: of(figures.defect_class == c) for c, name in sorted(classes.items())},
    }


def pod_as_json(pod: Pod) -> dict[str, Any]:
    """Plain values, rounded."""
    low, high = pod.a90_interval
    half_low, half_high = pod.a50_interval

    def short(value: float | None) -> float | None:
        return None if value is None else round(value, 5)

    return {
        "defects": pod.defects,
        "hits": pod.hits,
        "a50": short(pod.a50),
        "a50_interval": {"low": short(half_low), "high": short(half_high)},
        "a90": {"value": short(pod.a90), "low": short(low), "high": short(high)},
        "a90_95": short(pod.a90_95),
        "intercept": short(pod.intercept),
        "slope": short(pod.slope),
        "method": pod.method,
        "note": pod.note,
    }


def decisions(
    figures: Figures,
    draws: Resamples,
    *,
    ok_below: float,
    ng_from: float,
    costs: Costs | None,
    prevalence: float | None = None,
) -> dict[str, Any]:
    """What becomes of parts under two thresholds: escapes, overkill, reviews and their money, with intervals."""
    score, defective = part_scores(figures, of_defects=True)
    passes, stops = score < ok_below, score >= ng_from

    def share(of: NDArray[np.bool_], among: NDArray[np.bool_]) -> dict[str, float | None]:
        return binomial(int((of & among).sum()), int(among.sum()))

    everyone = np.ones(len(score), bool)
    report: dict[str, Any] = {
        "ok_below": ok_below,
        "ng_from": ng_from if ng_from <= 1 else None,
        "defective_parts": int(defective.sum()),
        "clean_parts": int((~defective).sum()),
        "escape_rate": share(passes, defective),
        "overkill_rate": share(stops & ~passes, ~defective),
        "review_rate": share(~passes & ~stops, everyone),
    }
    if costs is not None:

        def money(w: Floats) -> float:
            kinds = (w * defective).sum(), (w * ~defective).sum()
            if prevalence is not None and min(kinds) > 0:
                w = w * np.where(defective, prevalence / kinds[0], (1 - prevalence) / kinds[1])
            elif prevalence is not None:
                return float("nan")
            return 1000 * cost_per_part(score, defective, ok_below, ng_from, costs, w)

        report["cost_per_1000_parts"] = draws.of_parts(money)
    return report


def binomial(count: int, of: int) -> dict[str, float | None]:
    """A share of independent parts with its exact 95 % interval (Clopper and Pearson 1934)."""
    if not of:
        return {"value": None, "low": None, "high": None}
    low = beta.ppf(0.025, count, of - count + 1) if count else 0.0
    high = beta.ppf(0.975, count + 1, of - count) if count < of else 1.0
    return {"value": round(count / of, 5), "low": round(float(low), 5), "high": round(float(high), 5)}


def risk(
    facts: Sequence[ImageFacts],
    figures: Figures,
    draws: Resamples,
    calibration: Sequence[ImageFacts],
    *,
    calibrated_on: str,
    costs: Costs,
    alpha: float,
    level: float | None,
    prevalence: float | None,
) -> dict[str, Any]:
    """Thresholds from money and a bound on escapes, settled on one set of parts and tried on another."""
    score, defective = part_scores(collect(calibration), of_defects=True)  # a policy compares defects' scores
    chosen = choose_thresholds(score, defective, costs, alpha=alpha, level=level, prevalence=prevalence)
    return {
        "costs": asdict(costs),
        "prevalence": chosen.prevalence,
        "alpha": alpha,
        "level": level,
        "calibrated_on": calibrated_on,
        "calibration_defective_parts": chosen.defective,
        "calibration_clean_parts": chosen.clean,
        "highest_ok_below": chosen.highest_ok,
        "guarantee": guarantee(chosen),
        "expected_cost_per_1000_parts": round(1000 * chosen.cost_per_part, 4),
        "on_this_split": decisions(
            figures,
            draws,
            ok_below=chosen.ok_below,
            ng_from=chosen.ng_from,
            costs=costs,
            prevalence=chosen.prevalence,
        ),
    }


def guarantee(chosen: Thresholds) -> str:
    """The bound in words, with what it rests on."""
    if chosen.ok_below == 0:
        return (
            f"nothing passes without being looked at, so nothing escapes: {chosen.defective} defective among the "
            f"calibration parts are too few to promise {chosen.alpha:g}"
            if chosen.highest_ok == 0
            else "nothing passes without being looked at, so nothing escapes: reviewing every part costs least"
        )
    sure = (
        "on average over calibration and future parts"
        if chosen.level is None
        else f"with {100 * chosen.level:g} % confidence"
    )
    return (
        f"of future defective parts at most {100 * chosen.alpha:g} % pass unseen, {sure}, as long as they are like the "
        f"{chosen.defective} defective calibration parts and those had no part in training"
    )


def people(samples: Sequence[Sample], figures: Figures, draws: Resamples, threshold: float) -> dict[str, Any] | None:
    """Agreement of the model with the inspectors; None where the data set has no column of theirs."""
    return agreement_report(samples, figures.image_score >= threshold, figures.image_defective, draws.of_images)
