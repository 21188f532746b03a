"""A light network: thin defects are decided at stride 2, and a coarse branch says what they lie in.

Lines and edges are looked for at full resolution, and their answers stay in cells of 2 x 2 pixels from there to the
end. Beside them a coarse branch sees a hundred pixels far, so that a scratch is told from grain; it works on cells of
4, 8 and 16 px with one small filter a channel, which costs next to nothing. For one class 0.97 GFLOP per megapixel (a
multiplication and an addition are two), and 0.03 for each further one: a twenty-fifth of the network with ImageNet
weights.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segmentation.config import NetworkConfig
from segmentation.networks.base import Network, doubled, head
from segmentation.networks.filters import SIDE_PX, lines_and_edges

LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue (ITU-R BT.601): the grey in which lines are looked for at first."""

SPREADS = (1, 2, 1)
"""Distance, in the coarsest cells, between what the filters of the coarsest blocks look at."""


class Stem(nn.Module):
    """`B x 3 x H x W` -> `B x C x H/2 x W/2`: lines and edges in grey at full resolution; the colour of each cell."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.grey = nn.Conv2d(3, 1, 1, bias=False)
        self.lines = nn.Conv2d(1, channels, SIDE_PX, stride=2, padding=(SIDE_PX - 2) // 2, bias=False)
        self.colour = nn.Conv2d(3, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        with torch.no_grad():
            self.grey.weight.copy_(torch.tensor(LUMA).reshape(1, 3, 1, 1))
            known = lines_and_edges()[:channels]
            self.lines.weight[: len(known)] = known

    def forward(self, x: Tensor) -> Tensor:
        """Features at stride 2."""
        return F.relu(self.norm(self.lines(self.grey(x)) + self.colour(F.avg_pool2d(x, 2))))


class Separable(nn.Module):
    """A small filter for each channel, then a mixture of channels (Chollet 2017, arXiv:1610.02357)."""

    def __init__(self, inside: int, outside: int, *, stride: int = 1, spread: int = 1) -> None:
        super().__init__()
        self.each = nn.Conv2d(
            inside, inside, 3, stride=stride, padding=spread, dilation=spread, groups=inside, bias=False
        )
        self.mixed = nn.Conv2d(inside, outside, 1, bias=False)
        self.norm = nn.BatchNorm2d(outside)
        self.adds = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        """What comes in is added where it has the same shape."""
        changed = self.norm(self.mixed(self.each(x)))
        return F.relu(changed + x if self.adds else changed)


class Light(Network):
    """See the top of the file. `decoder_channels` of the config are those at each stride, the coarsest stride's the
    same as at half of it."""

    def __init__(self, config: NetworkConfig, classes: int) -> None:
        super().__init__()
        at = [*reversed(config.decoder_channels), config.decoder_channels[0]]  # from stride 2 to the coarsest
        self.stem = Stem(at[0])
        self.fine = Separable(at[0], at[0])
        self.down = nn.ModuleList(Separable(i, o, stride=2) for i, o in pairwise(at))
        self.coarse = nn.Sequential(*(Separable(at[-1], at[-1], spread=s) for s in SPREADS))
        inner = at[-2:0:-1]
        self.up = nn.ModuleList(Separable(i, o) for i, o in zip(inner, [*inner[1:], at[0]], strict=True))
        self.last = nn.Conv2d(at[0], at[0], 3, padding=1, groups=at[0], bias=False)
        self.norm = nn.BatchNorm2d(at[0])
        self.head = head(at[0], classes, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of background and classes."""
        fine = self.fine(self.stem(x))
        kept = [fine]
        for step in self.down:
            kept.append(step(kept[-1]))
        around = self.coarse(kept.pop())
        for step in self.up:
            around = step(doubled(around) + kept.pop())
        joined = doubled(around) + fine
        return F.pixel_shuffle(self.head(F.relu(self.norm(self.last(joined)))), 2)
