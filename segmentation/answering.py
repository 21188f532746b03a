"""A network with everything around it that decides an answer: 8-bit picture in, log-odds and class out.

One graph, so that every runtime computes the same thing and nothing is left to be rewritten around it: scaling,
network, log-odds of any defect, the likeliest class.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Answering(nn.Module):
    """`1 x H x W x 3`, uint8, RGB -> log-odds `H x W`, float32, and class places `H x W`, uint8."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """What `segmentation.looking.Answer` says; `picture` as the camera gave it, 0 to 255."""
        logits = self.network(scaled(picture))[0].float()
        defects = logits[1:]
        # With one class log sum exp is the class itself, to the bit.
        any_defect = defects[0] if defects.shape[0] == 1 else defects.logsumexp(dim=0)
        return any_defect - logits[0], defects.argmax(dim=0).to(torch.uint8)


def scaled(picture: Tensor) -> Tensor:
    """`B x H x W x 3`, 0 to 255, as networks take it: `B x 3 x H x W` in [-1, 1]; channels last without a copy."""
    return picture.permute(0, 3, 1, 2).float() / 127.5 - 1.0
