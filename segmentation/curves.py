"""Curves over the threshold: precision and recall, recall over false alarms, overlap of regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EDGES = np.round(np.arange(-20.0, 20.05, 0.1), 1).astype(np.float32)
"""Log-odds at which overlap is counted: a tenth apart, finer than any figure that is reported."""

HIGHEST_RATE = 0.3
"""The overlap curve is integrated up to this share of false pixels, as its authors do."""

CHUNK_PX = 4_000_000
"""Pixels counted at once: 32 MB, however large the frame."""

POINTS = 200
"""A curve in a report has at most so many points."""


@dataclass(frozen=True, slots=True)
class OverlapCounts:
    """What one image adds to the overlap curve; `len(EDGES) + 1` levels, from surely clean to surely defective."""

    background: NDArray[np.int64]
    """Background pixels by level of their log-odds."""
    regions: Floats
    """Sum over drawn defects of the shares of their pixels by level."""
    count: int
    """Drawn defects."""


def overlap_counts(background: NDArray[np.float16], regions: Sequence[NDArray[np.float16]]) -> OverlapCounts:
    """Count the log-odds of background pixels, and of the pixels of every drawn defect."""
    shares = np.zeros(len(EDGES) + 1)
    for region in regions:
        shares += _levels(region) / max(len(region), 1)
    return OverlapCounts(_levels(background), shares, len(regions))


def _levels(log_odds: NDArray[np.float16]) -> NDArray[np.int64]:
    counts = np.zeros(len(EDGES) + 1, np.int64)
    for start in range(0, len(log_odds), CHUNK_PX):  # counting widens its input to 8 bytes a pixel
        levels = _LEVEL[log_odds[start : start + CHUNK_PX].view(np.uint16)]
        counts += np.bincount(levels, minlength=len(counts))
    return counts


with np.errstate(over="ignore", invalid="ignore"):
    _LEVEL = np.searchsorted(
        EDGES, np.nan_to_num(np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)), side="right"
    ).astype(np.uint16)
"""The level of every number that half precision has: faster than searching for each of 200 million pixels."""


def area_under_overlap(background: NDArray[Any], regions: Floats, count: float) -> float:
    """AUPRO: mean share of each drawn defect that is covered, over the false-pixel rate from 0 to `HIGHEST_RATE`.

    Args:
        background, regions, count: sums of `OverlapCounts` over images (weighted, when resampling).

    Returns:
        In [0, 1], divided by `HIGHEST_RATE`; NaN without a defect or without background.

    Source:
        Bergmann et al. 2021, doi:10.1007/s11263-020-01400-4, section 5.2 (per-region overlap). Thresholds lie a tenth
        in log-odds apart; between them the curve is straight.
    """
    total = float(background.sum())
    if not count or not total:
        return float("nan")
    rate = np.concatenate([[0.0], np.cumsum(background[::-1]) / total])
    covered = np.concatenate([[0.0], np.cumsum(regions[::-1]) / count])
    grid = np.concatenate([rate[rate < HIGHEST_RATE], [HIGHEST_RATE]])
    # Several thresholds may share one rate; interpolation takes the highest overlap there.
    last = np.append(np.diff(rate) > 0, True)
    heights = np.concatenate([covered[rate < HIGHEST_RATE], [np.interp(HIGHEST_RATE, rate[last], covered[last])]])
    return float(((heights[1:] + heights[:-1]) / 2 * np.diff(grid)).sum() / HIGHEST_RATE)


def precision_recall(hits: Floats, alarms: Floats, found_at: Floats) -> list[dict[str, float]]:
    """Precision and recall of defects, from the surest answer down to a score of 0.05.

    Args:
        hits, alarms: scores of the right and of the wrong predictions.
        found_at: of every drawn defect, the score at which it is found; -1 never.

    Returns:
        `[{"score", "precision", "recall"}]`: of the predictions at or above the score, the share that is right; of the
        drawn defects, the share that they find. Empty if nothing is predicted or drawn.
    """
    if not len(found_at) or not len(hits) + len(alarms):
        return []
    scores = _thinned(np.unique(np.concatenate([hits, alarms]))[::-1])
    right = _at_least(hits, scores)
    wrong, found = _at_least(alarms, scores), _at_least(found_at, scores)
    return [
        {"score": round(float(s), 5), "precision": round(float(r / (r + w)), 5), "recall": round(float(f), 5)}
        for s, r, w, f in zip(scores, right, wrong, found / len(found_at), strict=True)
    ]


def recall_over_alarms(alarms: Floats, found_at: Floats, images: int) -> list[dict[str, float]]:
    """Recall of defects over false alarms an image (FROC), `[{"score", "false_alarms", "recall"}]`."""
    if not len(found_at):
        return []
    scores = _thinned(np.unique(np.concatenate([alarms, found_at[found_at > 0]]))[::-1])
    wrong, found = _at_least(alarms, scores), _at_least(found_at, scores)
    return [
        {"score": round(float(s), 5), "false_alarms": round(float(w) / images, 5), "recall": round(float(f), 5)}
        for s, w, f in zip(scores, wrong, found / len(found_at), strict=True)
    ]


def _at_least(values: Floats, scores: Floats) -> NDArray[np.int64]:
    """How many of `values` reach each of `scores`."""
    ordered = np.sort(values)
    return len(ordered) - np.searchsorted(ordered, scores, side="left")


def _thinned(values: Floats) -> Floats:
    """At most `POINTS` of them, evenly chosen, both ends kept."""
    if len(values) <= POINTS:
        return values
    chosen: Floats = values[np.unique(np.linspace(0, len(values) - 1, POINTS).round().astype(int))]
    return chosen
