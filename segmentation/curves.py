"""Curves over the threshold: precision and recall, recall over false alarms, overlap of regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    classes: Mapping[int, tuple[Floats, int]] = field(default_factory=dict)
    """What each class has of `regions` and of `count`; classes of which nothing is drawn may be missing."""


def overlap_counts(
    background: NDArray[np.float16], regions: Sequence[NDArray[np.float16]], kinds: Sequence[int] = ()
) -> OverlapCounts:
    """Count the log-odds of background pixels, and of the pixels of every drawn defect; `kinds`: their class ids."""
    shares = np.array([_levels(region) / max(len(region), 1) for region in regions]).reshape(-1, len(EDGES) + 1)
    own = {kind: np.array([other == kind for other in kinds]) for kind in sorted(set(kinds))}
    classes = {kind: (shares[those].sum(axis=0), int(those.sum())) for kind, those in own.items()}
    return OverlapCounts(_levels(background), shares.sum(axis=0), len(regions), classes)


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


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores, and the part (0 and up) that each comes from."""

    score: Floats
    part: NDArray[np.int64]

    def at_least(self, scores: Floats, weights: Floats) -> Floats:
        """`draws x len(scores)`: how many reach each of the scores, in every draw of the parts.

        Args:
            scores: falling.
            weights: `draws x parts`, how often each part was drawn.
        """
        # A score first counts at the first of `scores` that it reaches, and at all below.
        place = np.searchsorted(-scores, -self.score, side="left")
        counts = np.zeros((weights.shape[1], len(scores) + 1))
        np.add.at(counts, (self.part, place), 1.0)
        total: Floats = np.cumsum(weights @ counts[:, :-1], axis=1)
        return total


def precision_recall(hits: Scored, alarms: Scored, found_at: Scored, weights: Floats) -> list[dict[str, float | None]]:
    """Precision and recall of defects, from the surest answer down to a score of 0.05.

    Args:
        hits, alarms: the right and the wrong predictions.
        found_at: of every drawn defect, the score at which it is found; -1 never.
        weights: `draws x parts`; the first draw is the split as it is, the others are resamples.

    Returns:
        `[{"score", "precision", "recall", "precision_low", "precision_high", "recall_low", "recall_high"}]`: of the
        predictions at or above the score, the share that is right; of the drawn defects, the share that they find; the
        95 % interval of each at this score. Empty if nothing is predicted or drawn.
    """
    if not len(found_at.score) or not len(hits.score) + len(alarms.score):
        return []
    scores = _thinned(np.unique(np.concatenate([hits.score, alarms.score]))[::-1])
    right, wrong = hits.at_least(scores, weights), alarms.at_least(scores, weights)
    curves = {"precision": _ratio(right, right + wrong), "recall": _found(found_at, scores, weights)}
    return _points(scores, curves)


def recall_over_alarms(
    alarms: Scored, found_at: Scored, images: NDArray[np.int64], weights: Floats
) -> list[dict[str, float | None]]:
    """Recall of defects over false alarms an image (FROC); arguments as for `precision_recall`.

    Args:
        images: the part of each.

    Returns:
        `[{"score", "false_alarms", "recall", …}]`, with `_low` and `_high` of both as there.
    """
    if not len(found_at.score):
        return []
    found = found_at.score[found_at.score > 0]
    scores = _thinned(np.unique(np.concatenate([alarms.score, found]))[::-1])
    if not len(scores):
        return []
    of = weights @ np.bincount(images, minlength=weights.shape[1])
    curves = {
        "false_alarms": _ratio(alarms.at_least(scores, weights), of[:, None]),
        "recall": _found(found_at, scores, weights),
    }
    return _points(scores, curves)


def _found(found_at: Scored, scores: Floats, weights: Floats) -> Floats:
    drawn = weights @ np.bincount(found_at.part, minlength=weights.shape[1])
    return _ratio(found_at.at_least(scores, weights), drawn[:, None])


def _ratio(some: Floats, of: Floats) -> Floats:
    """NaN where there is nothing to have a share of."""
    share: Floats = np.divide(some, of, out=np.full(some.shape, np.nan), where=np.broadcast_to(of, some.shape) > 0)
    return share


def _points(scores: Floats, curves: Mapping[str, Floats]) -> list[dict[str, float | None]]:
    """Each curve is `draws x len(scores)`."""
    told: dict[str, Floats] = {"score": scores, **{name: drawn[0] for name, drawn in curves.items()}}
    for name, drawn in curves.items():
        unknown = np.isnan(drawn[1:]).all(axis=0)  # numpy warns of a quantile of nothing
        ends = np.nanquantile(np.where(unknown, 0.0, drawn[1:]), [0.025, 0.975], axis=0)
        told[f"{name}_low"], told[f"{name}_high"] = np.where(unknown, np.nan, ends)
    return [
        {name: None if np.isnan(values[n]) else round(float(values[n]), 5) for name, values in told.items()}
        for n in range(len(scores))
    ]


def _thinned(values: Floats) -> Floats:
    """At most `POINTS` of them, evenly chosen, both ends kept."""
    if len(values) <= POINTS:
        return values
    chosen: Floats = values[np.unique(np.linspace(0, len(values) - 1, POINTS).round().astype(int))]
    return chosen
