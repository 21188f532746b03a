"""Losses that look at the overlap of whole regions: Dice, focal Tversky, unified focal, Lovasz."""

from __future__ import annotations

import torch
from torch import Tensor

from qc.errors import InvalidInput
from segmentation.losses.common import (
    check,
    mean_of_shown,
    nats_of_truth,
    trust,
    truth_and_chance,
    weighted_mean,
)

LEAST = 1e-6
"""A root has no finite slope at 0; below this share the loss is taken to be right already."""


def dice_loss(logits: Tensor, target: Tensor, weight: Tensor | None = None, *, smooth: float = 1.0) -> Tensor:
    """Soft Dice loss of every defect class that the batch shows, averaged over these classes.

    `1 - (2 sum p g + s) / (sum p + sum g + s)`, sums over all labelled pixels of the batch: overlap counts and area
    does not, so a class with few pixels weighs as much as one with many. Background has no term of its own; a class
    without a pixel in the batch has none either (its false alarms are the focal loss's business).

    Args:
        logits: `B x K x H x W`, float, before the softmax; channel 0 is background.
        target: `B x H x W`, int64; 0 background, 1 .. K-1 a class, `IGNORE` unknown.
        weight: `B x H x W`, at least 0: how much each pixel counts in the sums; None counts all the same.
        smooth: `s`, in pixels; keeps the quotient finite.

    Returns:
        A scalar in [0, 1]; 0 if no defect is labelled.

    Source:
        Milletari et al. 2016, arXiv:1606.04797, section 3, with plain sums in the denominator
        (Drozdzal et al. 2016) instead of squares. Limits: within a class a large defect drowns
        a small one; see `instance_dice_loss`.
    """
    check(logits, target, weight)
    if smooth <= 0:
        raise InvalidInput(f"smooth must be positive, not {smooth}")
    truth, chance, counted = truth_and_chance(logits, target, weight)
    both, drawn, said = _sums(truth * chance * counted, truth * counted, chance * counted)
    return mean_of_shown(1 - (2 * both + smooth) / (drawn + said + smooth), drawn > 0)


def focal_tversky_loss(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    alpha: float = 0.7,
    power: float = 0.75,
    smooth: float = 1.0,
) -> Tensor:
    """`(1 - TI)^power` of every defect class that the batch shows, averaged over these classes.

    The Tversky index `TI = (TP + s) / (TP + alpha FN + (1 - alpha) FP + s)` of soft counts: with `alpha` above 1/2,
    missing costs more than inventing. `power` below 1 keeps a slope where the overlap is nearly perfect.

    Args:
        logits, target, weight: as in `dice_loss`.
        alpha: what a missed pixel costs, in [0, 1]; an invented one costs `1 - alpha`.
        power: `1 / gamma` of the paper, in (0, 3].
        smooth: `s`, in pixels.

    Returns:
        A scalar in [0, 1]; 0 if no defect is labelled.

    Source:
        Abraham and Khan 2018, arXiv:1810.07842, eq. 3 and 4 (alpha 0.7, gamma 4/3). With `alpha` 1/2 and `power` 1 it
        is a Dice loss with half the smoothing. Below a loss of 1e-6 the slope is 0 instead of infinite.
    """
    check(logits, target, weight)
    if not 0 <= alpha <= 1 or not 0 < power <= 3 or smooth <= 0:
        raise InvalidInput(f"alpha {alpha} must lie in [0, 1], power {power} in (0, 3], smooth {smooth} above 0")
    lost, drawn = _tversky(logits, target, weight, alpha, smooth)
    return mean_of_shown(_power(lost, power), drawn > 0)


def unified_focal_loss(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    balance: float = 0.5,
    delta: float = 0.6,
    gamma: float = 0.5,
    smooth: float = 1.0,
) -> Tensor:
    """Asymmetric unified focal loss: `balance` times a focal part plus `1 - balance` times a focal Tversky part.

    The focal part is `delta (-log p_t)` on defect pixels, never damped, and `(1 - delta) (1 - p_t)^gamma (-log p_t)` on
    background, averaged over the labelled pixels. The Tversky part is `(1 - TI_c)^(1 - gamma)` for every class that
    the batch shows, with misses weighing `delta`; `gamma` both damps easy background and enhances rare classes.

    Args:
        logits, target, weight: as in `dice_loss`.
        balance: the paper's lambda, in [0, 1].
        delta: weight of the rare side, in [0, 1].
        gamma: in [0, 1).
        smooth: in pixels, as in `dice_loss`.

    Returns:
        A scalar, at least 0.

    Source:
        Yeung et al. 2021, arXiv:2102.04525, section 3.5 (asymmetric variant; defaults the paper's). The paper adds a
        Tversky term for background; background is nearly all of our frames, so that its term says nothing. Misses weigh
        `delta`, as in the authors' code.
    """
    check(logits, target, weight)
    if not 0 <= balance <= 1 or not 0 <= delta <= 1 or not 0 <= gamma < 1 or smooth <= 0:
        raise InvalidInput(
            f"balance {balance} and delta {delta} must lie in [0, 1], gamma {gamma} in [0, 1), smooth {smooth} above 0"
        )
    nats = nats_of_truth(logits, target)
    background = (1 - delta) * _power(-torch.expm1(-nats), gamma) * nats
    focal = weighted_mean(torch.where(target > 0, delta * nats, background), trust(logits, target, weight))
    lost, drawn = _tversky(logits, target, weight, delta, smooth)
    return balance * focal + (1 - balance) * mean_of_shown(_power(lost, 1 - gamma), drawn > 0)


def lovasz_softmax_loss(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """The Lovasz extension of `1 - IoU` of every defect class that the batch shows, averaged over these classes.

    A convex surrogate of the IoU itself: errors `|g - p|` are sorted from the largest down, and each weighs what the
    IoU loses when this pixel is wrong too.

    Args:
        logits, target: as in `dice_loss`.
        weight: `B x H x W`, at least 0: scales the error of a pixel; 0 is like IGNORE.

    Returns:
        A scalar in [0, 1] for weights up to 1; 0 if no defect is labelled.

    Source:
        Berman, Triki and Blaschko 2018, arXiv:1705.08790, eq. 8 to 11, over the batch and over the defect classes that
        are present (background left out, as in `dice_loss`). Limits: takes a sort of all pixels a class; poor as the
        only loss at the start, when nothing is right yet.
    """
    check(logits, target, weight)
    truth, chance, counted = truth_and_chance(logits, target, weight)
    counts = (counted > 0).flatten()
    truth, chance = (x.movedim(1, 0).flatten(1)[:, counts] for x in (truth, chance))  # (K - 1) x N
    errors = (truth - chance).abs() * counted.flatten()[counts]
    drawn = truth.sum(dim=1)
    errors, order = errors.sort(dim=1, descending=True)
    truth = truth.gather(1, order)
    both = drawn[:, None] - truth.cumsum(dim=1)
    either = drawn[:, None] + (1 - truth).cumsum(dim=1)
    jaccard = 1 - both / either.clamp(min=1)
    steps = jaccard.diff(dim=1, prepend=torch.zeros_like(jaccard[:, :1])) if jaccard.shape[1] else jaccard
    return mean_of_shown((errors * steps).sum(dim=1), drawn > 0)


def _sums(*maps: Tensor) -> tuple[Tensor, ...]:
    """`B x C x H x W` -> `C` each."""
    return tuple(m.sum(dim=(0, 2, 3)) for m in maps)


def _power(base: Tensor, exponent: float) -> Tensor:
    """`base ** exponent` for `base` in [0, 1], with slope 0 instead of infinity at 0, and 0 there."""
    return torch.where(base > LEAST, base.clamp(min=LEAST) ** exponent, 0.0)


def _tversky(
    logits: Tensor, target: Tensor, weight: Tensor | None, alpha: float, smooth: float
) -> tuple[Tensor, Tensor]:
    """`1 - TI` of every defect class, and its weighted number of pixels."""
    truth, chance, counted = truth_and_chance(logits, target, weight)
    both, drawn, said = _sums(truth * chance * counted, truth * counted, chance * counted)
    index = (both + smooth) / (both + alpha * (drawn - both) + (1 - alpha) * (said - both) + smooth)
    return 1 - index, drawn
