"""A trained model teaches a lighter network: beside what people drew, how sure the teacher is of every pixel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from qc.errors import InvalidInput
from segmentation.model import load_network

SOFTNESS = 2.0
"""Both are made so many times less sure before they are compared, so that what is nearly a defect to the teacher is
heard beside what surely is one."""


class Teacher:
    """The network of a model folder, asked about the crops that another one learns from."""

    def __init__(self, folder: Path, classes: Mapping[int, str], device: str) -> None:
        """Raises NotFound, InvalidInput: there is no model, or it knows not all of `classes`, by name."""
        card, network = load_network(folder)
        self.id = str(card["id"])
        own = ["background", *(str(name) for _, name in sorted((int(k), v) for k, v in card["classes"].items()))]
        wanted = ["background", *(classes[number] for number in sorted(classes))]
        if strange := [name for name in wanted if name not in own]:
            raise InvalidInput(f"{folder} cannot teach what it does not know: {strange[0]}; it knows {own[1:]}")
        self._places = [own.index(name) for name in wanted]
        self._network = network.eval().to(device)

    def __call__(self, pictures: Tensor) -> Tensor:
        """`B x 3 x H x W` in [-1, 1] -> its logits, `B x K x H x W`, in the order of the learner's classes."""
        with torch.no_grad():
            said: Tensor = self._network(pictures)[:, self._places].float()
        return said


def lesson(logits: Tensor, taught: Tensor) -> Tensor:
    """How far the learner is from the teacher: a scalar in nats, 0 if both say the same everywhere.

    The divergence of the learner's probabilities from the teacher's at every pixel, both softened, times the square of
    the softness, as its gradient shrinks by it. What the teacher takes for background and what it takes for a defect
    weigh the same together, pixels in proportion to their chance of being it: a scratch is one pixel of a thousand.

    Args:
        logits: the learner's, `B x K x H x W`.
        taught: the teacher's, of the same shape.

    Source:
        Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 2; the balance is ours.
    """
    sure = F.log_softmax(taught / SOFTNESS, dim=1)
    apart = F.kl_div(F.log_softmax(logits / SOFTNESS, dim=1), sure, reduction="none", log_target=True).sum(dim=1)
    background = taught.softmax(dim=1)[:, 0]
    weights = (background, 1.0 - background)
    sides = [(apart * w).sum() / w.sum().clamp(min=1.0) for w in weights]
    return SOFTNESS**2 * (sides[0] + sides[1]) / 2
