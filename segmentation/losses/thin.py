"""Centre-line Dice: a thin scratch is right when its line is whole, not when its area is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from qc.errors import InvalidInput
from segmentation.losses.common import check, mean_of_shown, truth_and_chance


def soft_skeleton(chance: Tensor, *, steps: int = 4) -> Tensor:
    """The centre lines of a probability map, by eroding it and keeping what opening would lose.

    Args:
        chance: `B x C x H x W`, in [0, 1].
        steps: erosions, at least 1; lines up to `2 steps + 1` px wide are thinned to their middle.

    Returns:
        `B x C x H x W`, in [0, 1].

    Source:
        Shit et al. 2021, arXiv:2003.07311, algorithm 1; erosion is the minimum over a plus, opening dilates over 3 x 3.
    """
    if steps < 1:
        raise InvalidInput(f"a skeleton needs at least 1 step, not {steps}")
    skeleton = torch.zeros_like(chance)
    for _ in range(steps + 1):
        eroded = _eroded(chance)
        lost = F.relu(chance - _dilated(eroded))
        skeleton = skeleton + F.relu(lost - skeleton * lost)
        chance = eroded
    return skeleton


def centre_line_dice_loss(
    logits: Tensor, target: Tensor, weight: Tensor | None = None, *, steps: int = 4, smooth: float = 1.0
) -> Tensor:
    """`1 - clDice` of every defect class that the batch shows, averaged over these classes.

    `clDice = 2 P S / (P + S)`, with P the share of the predicted centre line that lies on the drawn defect, and S the
    share of the drawn centre line that the prediction covers. So a gap in a thin scratch costs its share of the length,
    and a scratch drawn a pixel too wide costs nothing.

    Args:
        logits, target, weight: as in `segmentation.losses.dice_loss`; unknown pixels count as empty on both sides.
        steps: as in `soft_skeleton`.
        smooth: in pixels of centre line.

    Returns:
        A scalar in [0, 1]; 0 if no defect is labelled.

    Source:
        Shit et al. 2021, arXiv:2003.07311, eq. 1 and 2. Limits: knows nothing of width, so never the only loss; for
        compact defects the centre line is a few pixels and means little; its poolings take some twenty times as long as
        Dice, 0.4 s a step of 8 crops of 256 px on one core.
    """
    check(logits, target, weight)
    if smooth <= 0:
        raise InvalidInput(f"smooth must be positive, not {smooth}")
    truth, chance, counted = truth_and_chance(logits, target, weight)
    seen = (counted > 0).to(chance.dtype)
    truth, chance = truth * seen, chance * seen
    drawn_line, said_line = soft_skeleton(truth, steps=steps), soft_skeleton(chance, steps=steps)

    def share(line: Tensor, of: Tensor) -> Tensor:
        total = (line * counted).sum(dim=(0, 2, 3))
        return ((line * of * counted).sum(dim=(0, 2, 3)) + smooth) / (total + smooth)

    precision, sensitivity = share(said_line, truth), share(drawn_line, chance)
    lost = 1 - 2 * precision * sensitivity / (precision + sensitivity)
    return mean_of_shown(lost, (truth * counted).sum(dim=(0, 2, 3)) > 0)


def _eroded(x: Tensor) -> Tensor:
    """The smallest of each pixel and its four neighbours."""
    return -F.max_pool2d(-x, (3, 1), 1, (1, 0)).maximum(F.max_pool2d(-x, (1, 3), 1, (0, 1)))


def _dilated(x: Tensor) -> Tensor:
    """The largest of each 3 x 3."""
    return F.max_pool2d(x, 3, 1, 1)
