"""Do people draw the same things? Agreement of two or more labellers, with intervals over parts.

A pixel that either of them marked as unknown (IGNORE) is left out of every comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import cv2
import numpy as np
from numpy.typing import NDArray

from labeling.evidence import FOUND, SPECK_PX
from qc.dataset import IGNORE
from qc.errors import InvalidInput

SIZES = {"tiny": (0, 64), "small": (64, 1024), "large": (1024, 1 << 62)}
"""Drawn area in pixels, from and below: up to 8 x 8, up to 32 x 32 (what COCO calls small), larger."""

DRAWS = 1000
"""Of the bootstrap; the ends of a 90 % interval then wander by about one in a hundred."""

Floats = NDArray[np.float64]
Mask = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Pair:
    """One crop, labelled by two people."""

    part: str
    first: Mask
    """`H x W` class ids, 255 unknown."""
    second: Mask


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its interval."""

    value: float | None
    """None where there is nothing to measure."""
    low: float | None
    """The middle 90 % of a bootstrap over parts lie between `low` and `high`; None from a single part."""
    high: float | None
    parts: int
    """Parts that say something about it."""


def cohen_kappa(table: NDArray[np.generic]) -> float:
    """Agreement beyond chance of two raters.

    Args:
        table: `K x K` counts, first rater's category by the second's.

    Returns:
        At most 1; 0 for chance; nan without counts. 1 where both always gave the same single category, for which the
        formula is 0/0: they never disagreed.

    Source:
        Cohen 1960, Educational and Psychological Measurement 20, eq. 1.
    """
    counts = np.asarray(table, np.float64)
    total = counts.sum()
    if total <= 0:
        return float("nan")
    observed = np.trace(counts) / total
    expected = float((counts.sum(axis=0) * counts.sum(axis=1)).sum()) / total**2
    return 1.0 if expected >= 1 else float((observed - expected) / (1 - expected))


def coincidences(ratings: NDArray[np.floating], values: Sequence[float]) -> Floats:
    """Krippendorff's coincidence matrix.

    Args:
        ratings: `raters x units`; nan where a rater did not see a unit. A unit with one rating says nothing.
        values: the categories, ascending.

    Returns:
        `V x V`: pairs of values within units, each unit's pairs weighted by 1 / (its ratings - 1).
    """
    place = {value: k for k, value in enumerate(values)}
    matrix = np.zeros((len(values), len(values)))
    for unit in np.asarray(ratings, np.float64).T:
        counts = np.zeros(len(values))
        for value in unit[~np.isnan(unit)]:
            counts[place[float(value)]] += 1
        n = counts.sum()
        if n >= 2:
            matrix += (np.outer(counts, counts) - np.diag(counts)) / (n - 1)
    return matrix


def krippendorff_alpha(matrix: Floats, values: Sequence[float] | None = None) -> float:
    """Agreement of any number of raters with gaps, from a coincidence matrix.

    Args:
        matrix: from `coincidences`.
        values: the numbers behind the categories for interval data (differences are squared); None: mere names.

    Returns:
        At most 1; 0 for chance; nan without a pair. 1 where only one value was ever given (see `cohen_kappa`).

    Source:
        Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", sections C and E.
    """
    totals = matrix.sum(axis=1)
    n = totals.sum()
    if n < 2:
        return float("nan")
    if values is None:
        apart = 1.0 - np.eye(len(matrix))
    else:
        numbers = np.asarray(values, np.float64)
        apart = (numbers[:, None] - numbers[None, :]) ** 2
    observed = float((matrix * apart).sum()) / n
    expected = float((np.outer(totals, totals) * apart).sum()) / (n * (n - 1))
    return 1.0 if expected == 0 else 1.0 - observed / expected


def defects(mask: Mask, class_id: int) -> tuple[int, NDArray[np.int32], NDArray[np.int64]]:
    """(number, `H x W` of 0 or 1.. `number`, areas) of what is drawn of a class, specks left out."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask == class_id).astype(np.uint8), connectivity=8)
    keep = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= SPECK_PX]
    table = np.zeros(count, np.int32)
    table[keep] = np.arange(1, len(keep) + 1)
    return len(keep), table[labels], stats[keep, cv2.CC_STAT_AREA].astype(np.int64)


def _pixels(pair: Pair, class_id: int) -> Floats:
    """(intersection, union) in pixels."""
    known = (pair.first != IGNORE) & (pair.second != IGNORE)
    one, two = (pair.first == class_id) & known, (pair.second == class_id) & known
    return np.array([(one & two).sum(), (one | two).sum()], np.float64)


def _found(pair: Pair, class_id: int) -> dict[str, Floats]:
    """For every size and for all: (drawings that the other drew too, drawings), both people's together."""
    known = (pair.first != IGNORE) & (pair.second != IGNORE)
    counts: dict[str, Floats] = {size: np.zeros(2) for size in ("all", *SIZES)}
    one, two = np.where(known, pair.first, 0), np.where(known, pair.second, 0)
    for mine, other in ((one, two), (two, one)):
        number, labels, areas = defects(mine.astype(np.uint8), class_id)
        shared = np.bincount(labels[other == class_id], minlength=number + 1)[1:]
        for area, common in zip(areas, shared, strict=True):
            size = next(name for name, (low, high) in SIZES.items() if low <= area < high)
            for name in ("all", size):
                counts[name] += (float(common >= FOUND * area), 1.0)
    return counts


def _presence(pair: Pair, class_id: int) -> Floats:
    """2 x 2 counts, flat: is the class on the crop, says the first, says the second?"""
    says = [int(bool((mask == class_id).any())) for mask in (pair.first, pair.second)]
    table = np.zeros((2, 2))
    table[says[0], says[1]] = 1
    return table.ravel()


def _ratio(counts: Floats) -> float:
    return float(counts[0] / counts[1]) if counts[1] > 0 else float("nan")


def _kappa(counts: Floats) -> float:
    return cohen_kappa(counts.reshape(2, 2))


def _alpha(counts: Floats) -> float:
    table = counts.reshape(2, 2)
    return krippendorff_alpha(table + table.T)  # with two raters and no gap every unit gives both ordered pairs


def agreement(pairs: Sequence[Pair], classes: Mapping[int, str], *, seed: int = 0) -> dict[str, dict[str, Figure]]:
    """How well two people agree, class by class.

    Counts are summed over crops and parts before they are divided, so that a crop with much to draw weighs more.

    Returns:
        Class name to: `mask_iou`; `defect_f1` (a drawing is shared if a tenth of it lies on the other's), also
        by size as `defect_f1_tiny`, `_small`, `_large`; `kappa` and `alpha` of whether the class is on the crop.
        Nothing where there is no pair.

    Raises:
        InvalidInput: the two masks of a pair have different sizes.
    """
    for pair in pairs:
        if pair.first.shape != pair.second.shape:
            raise InvalidInput(f"{pair.part}: masks of {pair.first.shape} and {pair.second.shape} cannot be compared")
    parts = sorted({pair.part for pair in pairs})
    if not parts:
        return {name: {} for name in classes.values()}
    place = {part: k for k, part in enumerate(parts)}
    weights = np.random.default_rng(seed).multinomial(len(parts), np.full(len(parts), 1 / len(parts)), DRAWS)
    report = dict[str, dict[str, Figure]]()
    for class_id, name in classes.items():
        counts: dict[str, Floats] = {}

        def add(figure: str, pair: Pair, values: Floats, counts: dict[str, Floats] = counts) -> None:
            counts.setdefault(figure, np.zeros((len(parts), len(values))))[place[pair.part]] += values

        for pair in pairs:
            add("mask_iou", pair, _pixels(pair, class_id))
            for size, found in _found(pair, class_id).items():
                add("defect_f1" if size == "all" else f"defect_f1_{size}", pair, found)
            add("kappa", pair, _presence(pair, class_id))
            add("alpha", pair, _presence(pair, class_id))
        rules: dict[str, Callable[[Floats], float]] = {"kappa": _kappa, "alpha": _alpha}
        report[name] = {figure: _figure(c, weights, rules.get(figure, _ratio)) for figure, c in counts.items()}
    return report


def _figure(counts: Floats, weights: NDArray[np.int64], rule: Callable[[Floats], float]) -> Figure:
    """A figure of the summed counts, and its spread when parts are drawn again."""
    value = rule(counts.sum(axis=0))
    parts = int((counts.sum(axis=1) > 0).sum())
    if np.isnan(value):
        return Figure(None, None, None, 0)
    if parts < 2:
        return Figure(value, None, None, parts)
    drawn = np.array([rule(row) for row in weights @ counts])  # nan where no drawn part says anything
    low, high = np.quantile(drawn[~np.isnan(drawn)], (0.05, 0.95))
    return Figure(value, float(low), float(high), parts)


@dataclass(frozen=True, slots=True)
class Drift:
    """How a labeller's agreement with known truth changes."""

    per_30_days: float
    """Change of the score in thirty days."""
    low: float
    """90 % interval of that."""
    high: float

    @property
    def certain(self) -> bool:
        """Is there a change at all?"""
        return self.low > 0 or self.high < 0


def drift(times: Sequence[datetime], scores: Sequence[float]) -> Drift | None:
    """The trend of a labeller's scores on golden tasks; None from fewer than five.

    The median of all pairs' slopes, which a few bad days do not move (Theil 1950, Sen 1968, JASA 63).
    """
    if len(scores) < 5 or len(set(times)) < 2:
        return None
    from scipy.stats import theilslopes

    days = np.array([(t - min(times)).total_seconds() / 86400 for t in times])
    slope, _, low, high = theilslopes(np.asarray(scores, np.float64), days, alpha=0.9)
    return Drift(30 * float(slope), 30 * float(low), 30 * float(high))


def golden_score(drawn: Mask, truth: Mask, classes: Mapping[int, str]) -> float:
    """How well one drawing agrees with known truth: F1 over all drawings of all classes, in [0, 1].

    1 where both are empty: seeing that nothing is there is right.
    """
    pair = Pair("", drawn, truth)
    counts = sum((_found(pair, class_id)["all"] for class_id in classes), np.zeros(2))
    return _ratio(counts) if counts[1] > 0 else 1.0
