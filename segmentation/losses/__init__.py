"""Losses for tiny defects: plain functions of `logits, target, weight`, and their names for a configuration.

All take logits `B x K x H x W`, int64 targets `B x H x W` with IGNORE for unknown, and optional pixel weights, and give
a scalar that is 0 for a perfect answer and for a batch without a label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from qc.errors import InvalidInput
from segmentation.losses.instance import instance_dice_loss, instance_focal_loss, instance_weights
from segmentation.losses.labels import ignore_band, quality_weights
from segmentation.losses.pixel import (
    any_defect_focal_loss,
    binary_focal_loss,
    focal_loss,
    generalised_cross_entropy,
    symmetric_cross_entropy,
)
from segmentation.losses.region import dice_loss, focal_tversky_loss, lovasz_softmax_loss, unified_focal_loss
from segmentation.losses.thin import centre_line_dice_loss, soft_skeleton

if TYPE_CHECKING:  # the configuration checks its loss by the names below
    from segmentation.config import TrainConfig

__all__ = [
    "LOSSES",
    "any_defect_focal_loss",
    "binary_focal_loss",
    "centre_line_dice_loss",
    "dice_loss",
    "focal_loss",
    "focal_tversky_loss",
    "generalised_cross_entropy",
    "ignore_band",
    "instance_dice_loss",
    "instance_focal_loss",
    "instance_weights",
    "lovasz_softmax_loss",
    "parse_loss",
    "quality_weights",
    "soft_skeleton",
    "symmetric_cross_entropy",
    "training_loss",
    "unified_focal_loss",
]

Loss = Callable[..., Tensor]

LOSSES: Mapping[str, Loss] = {
    "focal": focal_loss,
    "any_defect": any_defect_focal_loss,
    "dice": dice_loss,
    "focal_tversky": focal_tversky_loss,
    "unified_focal": unified_focal_loss,
    "lovasz": lovasz_softmax_loss,
    "instance_focal": instance_focal_loss,
    "instance_dice": instance_dice_loss,
    "centre_line": centre_line_dice_loss,
    "generalised_ce": generalised_cross_entropy,
    "symmetric_ce": symmetric_cross_entropy,
}
"""What `TrainConfig.loss` may name."""

FOCUSED = ("focal", "any_defect", "instance_focal")
"""Those whose gamma is `TrainConfig.focal_gamma`."""


def parse_loss(text: str) -> dict[str, float]:
    """`"focal + 0.5 centre_line"` -> `{"focal": 1.0, "centre_line": 0.5}`; raises InvalidInput naming what is wrong."""
    terms = dict[str, float]()
    for term in text.split("+"):
        *factor, name = term.split() or [""]
        try:
            weight = float(factor[0]) if factor else 1.0
        except ValueError:
            weight = float("nan")
        if len(factor) > 1 or not 0 < weight < float("inf"):
            raise InvalidInput(f"a term of a loss reads `dice` or `0.5 dice`, not {term.strip()!r}")
        if name not in LOSSES:
            raise InvalidInput(f"there is no loss {name!r}; there are {', '.join(LOSSES)}")
        if name in terms:
            raise InvalidInput(f"the loss {text!r} names {name} twice")
        terms[name] = weight
    return terms


def training_loss(logits: Tensor, target: Tensor, config: TrainConfig, quality: Tensor | None = None) -> Tensor:
    """The loss that a configuration asks for, on one batch.

    Args:
        logits: `B x K x H x W`, float.
        target: `B x H x W`, int64 class ids.
        config: `loss`, `focal_gamma`, `instance_power` and `ignore_band_px` decide.
        quality: `B` or `B x H x W` in [0, 1]: how far the labels are trusted; None trusts all.
    """
    target = ignore_band(target, config.ignore_band_px)
    weight = None if quality is None else quality_weights(target, quality)
    total = logits.new_zeros(())
    for name, factor in parse_loss(config.loss).items():
        chosen = {"gamma": config.focal_gamma} if name in FOCUSED else {}
        if name == "instance_focal":
            chosen["power"] = config.instance_power
        total = total + factor * LOSSES[name](logits, target, weight, **chosen)
    return total
