"""What every network is, and the pieces they share.

No layer looks at statistics of the picture it sees (no squeeze and excitation, no instance or group norm, no
global pooling), so that what is answered for a pixel depends on its surroundings up to `reach` and on nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PRIOR = 4.0
"""At the start background is e^4 times likelier than a class: the first steps need not learn that defects are rare."""


class Network(nn.Module):
    """`B x 3 x H x W` in [-1, 1], sides multiples of the stride -> `B x (1 + classes) x H x W`, background first.

    Logits before the softmax over background and classes.
    """

    head: nn.Conv2d
    """Four rows a class: one for each pixel of the cell of 2 x 2 that is unfolded."""

    if TYPE_CHECKING:  # torch's own signature has forgotten memory_format

        def to(self, *args: Any, **kwargs: Any) -> Self: ...

    def first_stages(self, number: int) -> list[nn.Module]:
        """What the picture passes first and what may stay as it came, that many stages; none where nothing came."""
        return []

    def parts(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """All that learns, apart: what already knows something, and what begins from nothing."""
        return [], [self]


def head(inside: int, classes: int, kernel: int) -> nn.Conv2d:
    """Four answers at stride 2 for each pixel and class, to be unfolded: full resolution at a quarter of the price."""
    layer = nn.Conv2d(inside, 4 * (1 + classes), kernel, padding=kernel // 2)
    with torch.no_grad():
        # The four begin alike (Aitken et al. 2017, arXiv:1707.02937), so that no lattice has to be unlearnt.
        layer.weight.copy_(layer.weight[::4].repeat_interleave(4, dim=0))
        cast(Tensor, layer.bias).zero_()[:4] = PRIOR
    return layer


def doubled(x: Tensor) -> Tensor:
    """`B x C x H x W` -> `B x C x 2H x 2W`: every value four times.

    Interpolation keeps channels last, which is what makes it quick; the exporter, which takes minutes to reason
    about its sizes, is shown the same thing as a plain expansion.
    """
    if not torch.compiler.is_exporting():
        return F.interpolate(x, scale_factor=2.0, mode="nearest")
    batch, channels, height, width = x.shape
    spread = x[:, :, :, None, :, None].expand(batch, channels, height, 2, width, 2)
    return spread.reshape(batch, channels, 2 * height, 2 * width)
