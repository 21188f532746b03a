"""Losses for tiny defects: plain functions of logits and target. In nats per labelled pixel, or a share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from qc.dataset import IGNORE
from qc.errors import InvalidInput


def focal_loss(logits: Tensor, target: Tensor, *, gamma: float = 2.0, alpha: Tensor | None = None) -> Tensor:
    """Focal loss over background and classes, averaged over the labelled pixels.

    `FL = - alpha_t (1 - p_t)^gamma log(p_t)`, with `p_t` the softmax probability of the pixel's true class. Damping
    pixels that are already right leaves the gradient to the few that are wrong. With one class and logits `[0, z]`
    it is the binary focal loss of `z`.

    Args:
        logits: `B x K x H x W`, float, before the softmax; channel 0 is background, K at least 2.
        target: `B x H x W`, int64; 0 background, 1 .. K-1 a class, `IGNORE` unknown.
        gamma: focusing strength, 0 or at least 1; 0 gives (weighted) cross-entropy.
        alpha: `K` weights of background and classes; None weighs all the same.

    Returns:
        A scalar in nats per labelled pixel; 0 if nothing is labelled.

    Raises:
        InvalidInput: shapes differ, `gamma` < 0, or 0 < `gamma` < 1 (the gradient is not finite at `p_t = 1`).

    Source:
        Lin et al. 2017, arXiv:1708.02002, eq. 5. The paper divides by the number of positive
        anchors; we divide by labelled pixels, so that empty crops count too.
    """
    _check(logits, target)
    if gamma < 0 or 0 < gamma < 1:
        raise InvalidInput(f"gamma must be 0 or at least 1, not {gamma}")
    labelled = target != IGNORE
    known = target.masked_fill(~labelled, 0)
    nats = -F.log_softmax(logits, dim=1).gather(1, known[:, None])[:, 0]  # -log p_t, B x H x W
    loss = (
        (-torch.expm1(-nats)).clamp(min=0) ** gamma * nats if gamma else nats
    )  # -expm1(-x) is 1 - p_t, exact near 0
    if alpha is not None:
        loss = loss * alpha.to(loss)[known]
    return (loss * labelled).sum() / labelled.sum().clamp(min=1)


def dice_loss(logits: Tensor, target: Tensor, *, smooth: float = 1.0) -> Tensor:
    """Soft Dice loss of every defect class that the batch shows, averaged over these classes.

    `1 - (2 sum p g + s) / (sum p + sum g + s)`, sums over all labelled pixels of the batch: overlap counts and area
    does not, so a class with few pixels weighs as much as one with many. Background has no term of its own; a class
    without a pixel in the batch has none either (its false alarms are the focal loss's business).

    Args:
        logits: `B x K x H x W`, float, before the softmax; channel 0 is background.
        target: `B x H x W`, int64; as in `focal_loss`.
        smooth: `s`, in pixels; keeps the quotient finite.

    Returns:
        A scalar in [0, 1]; 0 if no defect is labelled.

    Source:
        Milletari et al. 2016, arXiv:1606.04797, section 3, with plain sums in the denominator
        (Drozdzal et al. 2016) instead of squares.
    """
    _check(logits, target)
    if smooth <= 0:
        raise InvalidInput(f"smooth must be positive, not {smooth}")
    classes = logits.shape[1]
    labelled = (target != IGNORE)[:, None]
    truth = (
        F.one_hot(target.masked_fill(~labelled[:, 0], 0), classes).movedim(-1, 1).to(logits.dtype)[:, 1:] * labelled
    )
    chance = logits.softmax(dim=1)[:, 1:] * labelled
    both, drawn, said = ((x).sum(dim=(0, 2, 3)) for x in (truth * chance, truth, chance))
    shown = drawn > 0
    loss = 1 - (2 * both + smooth) / (drawn + said + smooth)
    return (loss * shown).sum() / shown.sum().clamp(min=1)


def _check(logits: Tensor, target: Tensor) -> None:
    if logits.ndim != 4 or logits.shape[1] < 2 or logits.shape[:1] + logits.shape[2:] != target.shape:
        raise InvalidInput(f"logits are {tuple(logits.shape)} but target is {tuple(target.shape)}")
