"""Losses that look at every pixel alone: focal, and two that forgive wrong labels. In nats, or a share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from qc.dataset import IGNORE
from qc.errors import InvalidInput
from segmentation.losses.common import check, known, nats_of_truth, trust, weighted_mean


def focal_loss(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    gamma: float = 2.0,
    alpha: Tensor | None = None,
) -> Tensor:
    """Focal loss over background and classes, averaged over the labelled pixels.

    `FL = - alpha_t (1 - p_t)^gamma log(p_t)`, with `p_t` the softmax probability of the pixel's true class. Damping
    pixels that are already right leaves the gradient to the few that are wrong. With one class and logits `[0, z]`
    it is the binary focal loss of `z`.

    Args:
        logits: `B x K x H x W`, float, before the softmax; channel 0 is background, K at least 2.
        target: `B x H x W`, int64; 0 background, 1 .. K-1 a class, `IGNORE` unknown.
        weight: `B x H x W`, at least 0: how much each pixel counts; None counts all the same.
        gamma: focusing strength, 0 or at least 1; 0 gives (weighted) cross-entropy.
        alpha: `K` weights of background and classes; None weighs all the same.

    Returns:
        A scalar in nats per labelled pixel; 0 if nothing is labelled.

    Raises:
        InvalidInput: shapes differ, `gamma` < 0, or 0 < `gamma` < 1 (the gradient is not finite at `p_t = 1`).

    Source:
        Lin et al. 2017, arXiv:1708.02002, eq. 5. The paper divides by the number of positive
        anchors; we divide by labelled pixels, so that empty crops count too. Limits: what is
        labelled wrongly is damped least, so it trusts labels more than cross-entropy does.
    """
    check(logits, target, weight)
    loss = _focused(nats_of_truth(logits, target), gamma)
    if alpha is not None:
        loss = loss * alpha.to(loss)[known(target)]
    return weighted_mean(loss, trust(logits, target, weight))


def binary_focal_loss(
    log_odds: Tensor,
    defect: Tensor,
    weight: Tensor | None = None,
    *,
    gamma: float = 2.0,
    alpha: float = 0.5,
) -> Tensor:
    """Focal loss of "any defect" against background.

    Args:
        log_odds: any shape, float: `log(p / (1 - p))` of a defect.
        defect: the same shape: 0 background, `IGNORE` unknown, anything else a defect.
        weight: the same shape, at least 0.
        gamma: as in `focal_loss`.
        alpha: weight of defect pixels, in [0, 1]; background weighs `1 - alpha`.

    Returns:
        A scalar in nats per labelled pixel; 0 if nothing is labelled.

    Raises:
        InvalidInput: shapes differ, `gamma` as in `focal_loss`, `alpha` outside of [0, 1].

    Source:
        Lin et al. 2017, arXiv:1708.02002, eq. 5, with the same denominator as `focal_loss`.
    """
    if log_odds.shape != defect.shape or (weight is not None and weight.shape != defect.shape):
        raise InvalidInput(f"log-odds are {tuple(log_odds.shape)} but defect is {tuple(defect.shape)}")
    if not 0 <= alpha <= 1:
        raise InvalidInput(f"alpha must lie in [0, 1], not {alpha}")
    labelled = (defect != IGNORE).to(log_odds.dtype)
    truth = ((defect != 0) & (defect != IGNORE)).to(log_odds.dtype)
    nats = F.binary_cross_entropy_with_logits(log_odds, truth, reduction="none")  # -log p_t
    loss = (alpha * truth + (1 - alpha) * (1 - truth)) * _focused(nats, gamma)
    return weighted_mean(loss, labelled if weight is None else labelled * weight.to(log_odds))


def any_defect_focal_loss(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, *, gamma: float = 2.0
) -> Tensor:
    """`binary_focal_loss` of the log-odds of any defect: confusing two classes costs nothing, missing both does.

    `log-odds = logsumexp(logits of the classes) - logit of background`. Arguments as in `focal_loss`. Beside a loss
    that tells classes apart it says that a defect under the wrong name is better than none. Twice the binary loss
    with `alpha = 1/2`, so that with one class it equals `focal_loss`.
    """
    check(logits, target, weight)
    log_odds = torch.logsumexp(logits[:, 1:], dim=1) - logits[:, 0]
    return 2.0 * binary_focal_loss(log_odds, target, weight, gamma=gamma, alpha=0.5)


def generalised_cross_entropy(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, *, q: float = 0.7
) -> Tensor:
    """`(1 - p_t^q) / q`, averaged over the labelled pixels: between cross-entropy (q to 0) and `1 - p_t` (q = 1).

    A pixel that the network is sure is labelled wrongly has a bounded cost and hardly any gradient.

    Args:
        logits, target, weight: as in `focal_loss`.
        q: in (0, 1]; higher forgives more and learns more slowly.

    Returns:
        A scalar in [0, 1/q]; 0 if nothing is labelled.

    Source:
        Zhang and Sabuncu 2018, arXiv:1805.07836, eq. 6, without the truncation of section 3.3. Limits: it forgives
        rare true defects as it forgives slips; not meant to be the only loss where a class is rare.
    """
    check(logits, target, weight)
    if not 0 < q <= 1:
        raise InvalidInput(f"q must lie in (0, 1], not {q}")
    loss = -torch.expm1(-q * nats_of_truth(logits, target)) / q
    return weighted_mean(loss, trust(logits, target, weight))


def symmetric_cross_entropy(
    logits: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    alpha: float = 0.1,
    beta: float = 1.0,
    log_of_zero: float = -4.0,
) -> Tensor:
    """`alpha CE + beta RCE`: cross-entropy and, with the roles of answer and label exchanged, its reverse.

    The reverse part is `- sum_k p_k log(g_k)` with `log 0` set to `log_of_zero`, which for a hard label is
    `-log_of_zero (1 - p_t)`: bounded, so a wrong label cannot pull for ever.

    Args:
        logits, target, weight: as in `focal_loss`.
        alpha, beta: weights of the two parts, at least 0.
        log_of_zero: below 0.

    Returns:
        A scalar, at least 0; 0 if nothing is labelled.

    Source:
        Wang et al. 2019, arXiv:1908.06112, eq. 7 and 8; `alpha`, `beta`, A = -4 are the paper's for CIFAR-10.
    """
    check(logits, target, weight)
    if alpha < 0 or beta < 0 or log_of_zero >= 0:
        raise InvalidInput(f"alpha {alpha} and beta {beta} must be at least 0, and log_of_zero {log_of_zero} below 0")
    nats = nats_of_truth(logits, target)
    loss = alpha * nats - beta * log_of_zero * -torch.expm1(-nats)
    return weighted_mean(loss, trust(logits, target, weight))


def _focused(nats: Tensor, gamma: float) -> Tensor:
    """`(1 - p_t)^gamma (-log p_t)` from `-log p_t`; `-expm1(-x)` is `1 - p_t`, exact near 0."""
    if gamma < 0 or 0 < gamma < 1:
        raise InvalidInput(f"gamma must be 0 or at least 1, not {gamma}")
    return (-torch.expm1(-nats)).clamp(min=0) ** gamma * nats if gamma else nats
