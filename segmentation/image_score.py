"""How likely an image shows a defect, from more than its surest pixel.

One sure pixel on a clean image and a scratch of two hundred sure pixels have the same highest probability. What tells
them apart is how sure the rest of the surest region is, how large it is, and how many regions there are. A logistic
curve over these four numbers is fitted on the validation parts; it starts from the surest pixel alone and is pulled
back to it, so that few images change little. It is used only where cross-validation over parts shows that it orders
images better. It never contradicts the verdict: an image with a defect that counts scores at or above the threshold,
any other below it; so everything that compares scores with the threshold goes on to hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qc.defects import DOUBT, logit, probability
from qc.halves import at_least, highest, place_of_highest
from qc.ports import Segmentation

Floats = NDArray[np.float64]

FARTHEST = 15.0
"""Log-odds beyond which sure is sure."""

AS_SUREST = (1.0, 0.0, 0.0, 0.0)
"""Weights with which only the surest pixel speaks."""

PULL = 1.0
"""Strength of the pull towards `AS_SUREST`: a weight one unit away costs as much as half a nat of likelihood."""

HALVINGS = 25
"""The parts are halved so often, by lot; each half is judged by what was fitted on the other."""

SURE = 0.9
"""The share of halves that the combination must order better than the surest pixel, not merely as well."""

FEWEST_PARTS = 8
"""Parts with a defect, and parts without one; below, halves cannot tell."""


@dataclass(frozen=True, slots=True)
class ImageScore:
    """The combination; part of what a model is."""

    weights: tuple[float, ...]
    """Of the numbers of `summary`, in log-odds."""
    offset: float

    def __call__(self, seen: Segmentation, *, threshold: float, edge: float) -> float:
        """How likely an image shows a defect, in [0, 1]; at least `threshold` exactly where a defect counts."""
        numbers = summary(seen, edge=edge)
        return float(self.of(numbers[None], counts(seen, threshold=threshold), threshold)[0])

    def of(self, numbers: Floats, counting: NDArray[np.bool_] | bool, threshold: float) -> Floats:
        """The same of many images, `N x 4` numbers as `summary` gives them and which of them show what counts."""
        z = np.clip(numbers @ np.asarray(self.weights) + self.offset, -30.0, 30.0)
        share = 1.0 / (1.0 + np.exp(-z))
        scores: Floats = np.where(counting, threshold + (1.0 - threshold) * share, threshold * share)
        return scores


def summary(seen: Segmentation, *, edge: float) -> Floats:
    """Four numbers of an answer: of its surest pixel, its surest region, and all regions.

    Returns:
        The log-odds of the surest pixel; the mean log-odds of the surest region (its pixels at or above `edge`, or,
        where none is, above the doubt that is listed); the natural logarithm of the region's area in px; that of the
        number of regions. Where nothing is above the doubt: the surest pixel twice, and zeros.
    """
    surest = highest(seen.log_odds)
    sure = float(np.clip(surest, -FARTHEST, FARTHEST))
    level = logit(edge) if surest >= float(np.float16(logit(edge))) else logit(min(DOUBT, edge))
    inside = at_least(seen.log_odds, level)
    if not inside.any():
        return np.array([sure, sure, 0.0, 0.0])
    count, labels = cv2.connectedComponents(inside.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    region = seen.log_odds[labels == labels.flat[place_of_highest(seen.log_odds)]].astype(np.float64)
    mean = float(np.clip(region, -FARTHEST, FARTHEST).mean())
    return np.array([sure, mean, np.log(len(region)), np.log(count - 1)])


def counts(seen: Segmentation, *, threshold: float) -> bool:
    """Is there a defect that counts? As `qc.defects.find_blobs` decides it."""
    return bool(highest(seen.log_odds) >= np.float16(logit(threshold)))


def from_card(card: Mapping[str, Any]) -> ImageScore | None:
    """As the card of a model holds it; None for a model whose surest pixel speaks."""
    about = card.get("image_score")
    return about and ImageScore(tuple(float(w) for w in about["weights"]), float(about["offset"]))


@dataclass(frozen=True, slots=True)
class Trial:
    """What cross-validation says."""

    score: ImageScore | None
    """None: the surest pixel stays."""
    about: dict[str, Any]
    """For the card: average precision of both on parts left out, and the share of halves that the combination won."""


def choose(
    numbers: Floats,
    counting: NDArray[np.bool_],
    defective: NDArray[np.bool_],
    parts: Sequence[str],
    *,
    threshold: float,
    seed: int = 0,
) -> Trial:
    """Fit the combination, and use it only if parts left out of the fit are ordered better by it.

    Args:
        numbers: `N x 4`, one `summary` an image.
        counting: which images show a defect that counts.
        defective: which images somebody drew a defect on.
        parts: the part of each image; all images of a part lie in the same half.
        threshold: of the model.
        seed: of the halves; the same seed gives the same answer.

    Returns:
        The decision. Average precisions are means over the halves left out: each half is ordered by one fit, because
        scores of different fits cannot be pooled.
    """
    _, part = np.unique(np.asarray(parts), return_inverse=True)
    number_of_parts = int(part.max()) + 1 if len(part) else 0
    bad = np.zeros(number_of_parts, np.bool_)
    np.logical_or.at(bad, part, defective)
    if min(int(bad.sum()), int((~bad).sum())) < FEWEST_PARTS:
        return Trial(None, {"why_not": f"fewer than {FEWEST_PARTS} parts with or without a defect"})
    random = np.random.default_rng(seed)
    surest = np.array([probability(v) for v in numbers[:, 0]])
    of_both = []
    for _ in range(HALVINGS):
        half = np.zeros(number_of_parts, np.bool_)
        for kind in (np.flatnonzero(bad), np.flatnonzero(~bad)):
            half[random.permutation(kind)[: len(kind) // 2]] = True
        for learnt in (half[part], ~half[part]):
            own = fit(numbers[learnt], defective[learnt]).of(numbers[~learnt], counting[~learnt], threshold)
            of_both.append([_order(own, defective[~learnt]), _order(surest[~learnt], defective[~learnt])])
    combined, old = np.array(of_both).T
    better = float((combined > old).mean())
    about = {
        "image_ap_left_out": round(float(combined.mean()), 5),
        "image_ap_of_surest_pixel": round(float(old.mean()), 5),
        "better_in": round(better, 4),
    }
    if combined.mean() <= old.mean() or better < SURE:
        return Trial(None, {**about, "why_not": "not surely better than the surest pixel on parts left out"})
    return Trial(fit(numbers, defective), about)


def _order(scores: Floats, defective: NDArray[np.bool_]) -> float:
    """Average precision."""
    from segmentation.metrics import average_precision  # only whoever trains has it

    return average_precision(scores, defective, np.ones(len(scores)))


def fit(numbers: Floats, defective: NDArray[np.bool_]) -> ImageScore:
    """A logistic curve, defective and clean images weighing the same together, pulled towards the surest pixel.

    Source:
        Ridge regression (le Cessie, van Houwelingen 1992, doi:10.2307/2347628), with the surest pixel's own log-odds
        where ridge has zero. Differs in that the two kinds of images weigh the same.
    """
    from scipy.optimize import minimize  # 60 MB that whoever only inspects can spare

    start = np.array([*AS_SUREST, 0.0])
    inputs = np.concatenate([numbers, np.ones((len(numbers), 1))], axis=1)
    share = float(np.clip(defective.mean(), 1e-9, 1 - 1e-9))
    weight = np.where(defective, 0.5 / share, 0.5 / (1 - share))
    sign = np.where(defective, -1.0, 1.0)

    def loss(w: Floats) -> tuple[float, Floats]:
        nats = np.logaddexp(0.0, sign * (inputs @ w))
        slope = weight * sign * np.exp(sign * (inputs @ w) - nats)
        away = (w - start) * [PULL, PULL, PULL, PULL, 0.0]  # the offset is free: it orders nothing
        return float(weight @ nats + 0.5 * away @ (w - start)), inputs.T @ slope + away

    found = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return ImageScore(tuple(round(float(w), 6) for w in found[:-1]), round(float(found[-1]), 6))
