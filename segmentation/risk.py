"""ok, review or ng? Scores become thresholds by what mistakes cost, with a bound on escapes that needs no distribution.

A part below `ok_below` passes, one from `ng_from` on is rejected, a person looks at what lies between. An *escape* is a
defective part that passes. The thresholds cost least on calibration parts, among those that keep the escapes of
*future* parts below `alpha`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from qc.errors import InvalidInput

Floats = NDArray[np.float64]

NEVER = 2.0
"""A threshold that no score in [0, 1] reaches."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a mistake costs, in one currency. A defective part that is rejected, a clean one that passes: nothing."""

    escape: float
    """A defective part that passes."""
    reject: float
    """A clean part that is rejected."""
    review: float
    """A part that a person looks at; the person is taken to be right."""
    currency: str = "EUR"

    def __post_init__(self) -> None:
        if not all(0 <= c < math.inf for c in (self.escape, self.reject, self.review)):
            raise InvalidInput(f"costs must be at least 0, not {self.escape}, {self.reject}, {self.review}")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where verdicts change, and what is known about it."""

    ok_below: float
    """Scores below it pass; 0: nothing passes unseen."""
    ng_from: float
    """Scores from it on are rejected; above 1: nothing is."""
    alpha: float
    """The share of defective parts that may pass."""
    level: float | None
    """How sure that bound is; None: it bounds the expectation, over calibration and future parts."""
    highest_ok: float
    """The largest `ok_below` that the bound allows."""
    defective: int
    clean: int
    """Calibration parts."""
    cost_per_part: float
    """On the calibration parts, at the prevalence used; too good to be true by the choice made on them."""
    prevalence: float
    """Share of defective parts that the costs were weighed with."""

    def verdict(self, score: float) -> str:
        """`ok`, `review` or `ng`."""
        return "ok" if score < self.ok_below else "ng" if score >= self.ng_from else "review"


def escape_limit(scores: Floats, alpha: float, *, level: float | None = None) -> float:
    """The highest threshold under which at most a share `alpha` of future defective parts passes.

    Args:
        scores: of defective calibration parts, in [0, 1], which had no part in choosing the model. Exchangeable with
            future defective parts; nothing else is assumed.
        alpha: in (0, 1).
        level: None: the *expected* share of escapes is at most `alpha`. In (0, 1): with this confidence over the
            draw of calibration parts, the share is at most `alpha`; stricter.

    Returns:
        In [0, 1]; 0 where there are too few parts to promise anything (fewer than `1 / alpha - 1`).

    Source:
        Conformal risk control, Angelopoulos et al. 2022, arXiv:2208.02814, theorem 1, for the loss "defective and
        passed", which is at most 1: the empirical risk of `k` escapes among `n` must obey `(k + 1) / (n + 1) <= alpha`.
        With `level`: the threshold is the (k + 1)-th smallest score, below which a share distributed as
        Beta(k + 1, n - k) lies, or less where scores tie (Wilks 1941, tolerance limits; the binomial case of Bates et
        al. 2021, arXiv:2101.02703).
    """
    if not 0 < alpha < 1 or (level is not None and not 0 < level < 1):
        raise InvalidInput(f"alpha {alpha} and the level {level} must lie in (0, 1)")
    count = len(scores)
    escapes = np.arange(count)
    if level is None:
        allowed = (escapes + 1) / (count + 1) <= alpha + 1e-12
    else:
        allowed = beta.ppf(level, escapes + 1, count - escapes) <= alpha
    if not allowed.any():
        return 0.0
    return float(np.sort(scores)[int(escapes[allowed].max())])


def choose_thresholds(
    score: Floats,
    defective: NDArray[np.bool_],
    costs: Costs,
    *,
    alpha: float = 0.05,
    level: float | None = None,
    prevalence: float | None = None,
) -> Thresholds:
    """The cheapest thresholds on calibration parts, among those that keep the bound on escapes.

    Args:
        score: of each calibration part, in [0, 1], higher is worse.
        defective: whether it is.
        costs: what mistakes cost.
        alpha, level: as in `escape_limit`. Lowering `ok_below` further for the money's sake keeps the bound: the loss
            only falls.
        prevalence: share of defective parts in production; None: as among the calibration parts, which are often
            richer in defects than production is.

    Raises:
        InvalidInput: no part at all, scores outside of [0, 1], or a prevalence outside of [0, 1].
    """
    score, defective = np.asarray(score, np.float64), np.asarray(defective, bool)
    if len(score) == 0 or len(score) != len(defective):
        raise InvalidInput(f"thresholds need scores of calibration parts, not {len(score)} of {len(defective)}")
    if not ((score >= 0) & (score <= 1)).all():
        raise InvalidInput("scores of calibration parts must lie in [0, 1]")
    if prevalence is not None and not 0 <= prevalence <= 1:
        raise InvalidInput(f"the prevalence must lie in [0, 1], not {prevalence}")
    share = float(defective.mean()) if prevalence is None else prevalence
    weight = _weights(defective, share)
    limit = escape_limit(score[defective], alpha, level=level)

    order = np.argsort(score, kind="stable")
    score, defective, weight = score[order], defective[order], weight[order]
    edges = np.append(np.unique(score), NEVER)
    below = np.searchsorted(score, edges, side="left")  # parts below each edge

    def up_to(values: Floats) -> Floats:
        return np.append(0.0, np.cumsum(values))[below]

    parts = up_to(weight)
    passed = up_to(weight * defective) * costs.escape - parts * costs.review
    rejected = (weight * ~defective).sum() - up_to(weight * ~defective)
    stopped = parts * costs.review + rejected * costs.reject
    # The cheapest ng_from at or above each edge, and where it is.
    cheapest = np.minimum.accumulate(stopped[::-1])[::-1]
    total = np.where(edges <= limit, passed + cheapest, np.inf)
    if not np.isfinite(total).any():  # limit is 0 and every score is above it
        ok_below, best, start = 0.0, float(cheapest[0]), 0
    else:
        start = int(np.flatnonzero(total <= total.min() + 1e-12)[-1])  # of equals, the one with the fewest reviews
        ok_below, best = float(edges[start]), float(total[start])
    at = start + int(np.flatnonzero(stopped[start:] <= cheapest[start] + 1e-12)[-1])
    return Thresholds(
        ok_below=ok_below,
        ng_from=float(edges[at]),
        alpha=alpha,
        level=level,
        highest_ok=limit,
        defective=int(defective.sum()),
        clean=int((~defective).sum()),
        cost_per_part=best,
        prevalence=share,
    )


def cost_per_part(
    score: Floats, defective: NDArray[np.bool_], ok_below: float, ng_from: float, costs: Costs, weight: Floats
) -> float:
    """Mean cost of a part, the parts weighing `weight`."""
    passes, stops = score < ok_below, score >= ng_from
    each = np.where(passes & defective, costs.escape, 0.0) + np.where(stops & ~passes & ~defective, costs.reject, 0.0)
    each += np.where(~passes & ~stops, costs.review, 0.0)
    return float((each * weight).sum() / weight.sum())


def _weights(defective: NDArray[np.bool_], prevalence: float) -> Floats:
    """Weights that sum to 1, of which defective parts have a share `prevalence` (as far as there are both kinds)."""
    kinds = int(defective.sum()), int((~defective).sum())
    if 0 in kinds:
        return np.full(len(defective), 1 / len(defective))
    return np.where(defective, prevalence / kinds[0], (1 - prevalence) / kinds[1])
