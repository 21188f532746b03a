"""What every loss does first: check shapes, find out which pixels count, and how much."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from qc.dataset import IGNORE
from qc.errors import InvalidInput


def check(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> None:
    """Raises InvalidInput unless `logits` are `B x K x H x W`, K at least 2, and the others `B x H x W`."""
    if logits.ndim != 4 or logits.shape[1] < 2 or logits.shape[:1] + logits.shape[2:] != target.shape:
        raise InvalidInput(f"logits are {tuple(logits.shape)} but target is {tuple(target.shape)}")
    if weight is not None and weight.shape != target.shape:
        raise InvalidInput(f"weight is {tuple(weight.shape)} but target is {tuple(target.shape)}")


def trust(logits: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """`B x H x W` float: 0 for IGNORE, else the pixel's weight (1 where none is given)."""
    labelled = (target != IGNORE).to(logits.dtype)
    return labelled if weight is None else labelled * weight.to(logits)


def known(target: Tensor) -> Tensor:
    """`target` with background in place of IGNORE, so that it can be used as an index."""
    return target.masked_fill(target == IGNORE, 0)


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """`sum w v / sum w`; 0 where all weights are 0."""
    return (values * weight).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)


def nats_of_truth(logits: Tensor, target: Tensor) -> Tensor:
    """`-log p_t`, `B x H x W`: what cross-entropy costs at every pixel."""
    return -F.log_softmax(logits, dim=1).gather(1, known(target)[:, None])[:, 0]


def truth_and_chance(logits: Tensor, target: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """One-hot truth and softmax probability of the K - 1 defect classes, `B x (K - 1) x H x W`, and trust."""
    truth = F.one_hot(known(target), logits.shape[1]).movedim(-1, 1)[:, 1:].to(logits.dtype)
    return truth, logits.softmax(dim=1)[:, 1:], trust(logits, target, weight)[:, None]


def mean_of_shown(per_class: Tensor, shown: Tensor) -> Tensor:
    """Average over the classes of which the batch shows something; 0 if it shows nothing."""
    return (per_class * shown).sum() / shown.sum().clamp(min=1)
