"""Losses in which every defect counts the same, however small it is."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from qc.dataset import IGNORE
from qc.errors import InvalidInput
from segmentation.losses.common import check, trust, truth_and_chance
from segmentation.losses.pixel import focal_loss

SMALLEST_PX = 4
"""Specks of fewer pixels weigh as if they had so many: they may be slips of a brush."""


def instances(target: Tensor) -> Tensor:
    """`B x H x W` int64: 0 background and unknown, else the number of the pixel's defect, counted through the batch.

    A defect is a connected region (8 neighbours) of one class.
    """
    masks = target.cpu().numpy().astype(np.uint8)
    numbers, before = np.zeros(masks.shape, np.int64), 0
    for mask, number in zip(masks, numbers, strict=True):
        for class_id in np.unique(mask).tolist():
            if class_id in (0, IGNORE):
                continue
            count, labels = cv2.connectedComponents((mask == class_id).astype(np.uint8), connectivity=8)
            number[labels > 0] = labels[labels > 0] + before
            before += count - 1
    return torch.from_numpy(numbers).to(target.device)


def instance_weights(target: Tensor, *, power: float = 1.0) -> Tensor:
    """`B x H x W`: weights under which every defect of the batch weighs the same, and all together as before.

    A pixel of a defect of area `a` weighs in proportion to `a^-power`; background weighs 1.

    Args:
        target: `B x H x W`, int64 class ids.
        power: 1 makes all defects equal, 0 leaves pixels equal; between them, a compromise.

    Source:
        Inverse weighting of lesions, Shirokikh et al. 2020, arXiv:2007.10033, eq. 2, scaled so that the balance of
        defects to background does not move.
    """
    if not 0 <= power <= 1:
        raise InvalidInput(f"power must lie in [0, 1], not {power}")
    number = instances(target)
    area = torch.bincount(number.flatten()).double()
    if len(area) == 1:
        return torch.ones(target.shape, device=target.device)
    area[0] = 1.0
    share = area.clamp(min=SMALLEST_PX) ** -power
    share[1:] *= area[1:].sum() / (share * area)[1:].sum()
    share[0] = 1.0
    return share.float()[number]


def instance_focal_loss(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, *, gamma: float = 2.0, power: float = 1.0
) -> Tensor:
    """`focal_loss` with `instance_weights`; arguments and result as there."""
    check(logits, target, weight)
    equal = instance_weights(target, power=power).to(logits)
    return focal_loss(logits, target, equal if weight is None else equal * weight.to(logits), gamma=gamma)


def instance_dice_loss(logits: Tensor, target: Tensor, weight: Tensor | None = None, *, smooth: float = 1.0) -> Tensor:
    """Soft Dice loss of every single defect, averaged over the defects of the batch.

    Each defect is compared with what is said, under its class, on its own pixels and on all pixels of its crop that
    belong to no defect of this class; its neighbours are cut out. A scratch of six pixels then weighs as
    much as one of six thousand, and a false alarm costs every defect of the crop.

    Args:
        logits, target, weight, smooth: as in `segmentation.losses.dice_loss`.

    Returns:
        A scalar in [0, 1]; 0 if no defect is labelled.

    Source:
        Blob loss, Kofler et al. 2022, arXiv:2205.08209, with Dice inside. The sums over all defects come from one pass
        (`index_add`), where the paper loops over them. Limits: says nothing about a crop without a defect.
    """
    check(logits, target, weight)
    if smooth <= 0:
        raise InvalidInput(f"smooth must be positive, not {smooth}")
    truth, chance, counted = truth_and_chance(logits, target, weight)
    number = instances(target)  # B x H x W
    count = int(number.max()) + 1
    if count == 1:
        return logits.sum() * 0.0
    on_own = (truth * chance).sum(dim=1)  # the probability of the pixel's own class; 0 on background
    pixel = trust(logits, target, weight)
    both, drawn = (logits.new_zeros(count).index_add(0, number.flatten(), x.flatten()) for x in (on_own * pixel, pixel))
    outside = (chance * (1 - truth) * counted).sum(dim=(2, 3))  # B x (K - 1)
    crop, label = _where(number, target, count)
    dice = (2 * both[1:] + smooth) / (drawn[1:] + both[1:] + outside[crop, label - 1] + smooth)
    shown = drawn[1:] > 0
    return ((1 - dice) * shown).sum() / shown.sum().clamp(min=1)


def _where(number: Tensor, target: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of every defect: the crop it lies on, and its class."""
    crop_of_pixel = torch.arange(len(number), device=number.device)[:, None, None].expand_as(number)
    crop, label = (number.new_zeros(count) for _ in range(2))
    crop[number], label[number] = crop_of_pixel, target
    return crop[1:], label[1:]
