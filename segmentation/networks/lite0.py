"""The encoder efficientnet-lite0 of torch alone, with timm's names, weights and answers (`tf_efficientnet_lite0`).

timm has hundreds of networks and asks torch's compiler and torchvision about some of them when it is imported: three
seconds of a processor, before a server can inspect and in every job that loads a model. Nothing of that is needed here.

Source:
    Tan and Le 2019, arXiv:1905.11946; without squeeze and excitation, and with ReLU6, as its lite variants are.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

NAME = "tf_efficientnet_lite0"

STEM = 32
"""Channels at stride 2 before the first stage."""
STAGES = ((1, 3, 1, 16), (2, 3, 2, 24), (2, 5, 2, 40), (3, 3, 2, 80), (3, 5, 1, 112), (4, 5, 2, 192), (1, 3, 1, 320))
"""Blocks, side of the filter in pixels, stride of the first block, channels that come out."""
WIDER = 6
"""Times as many channels inside a block as come in, from the second stage on."""
ENDS = (0, 1, 2, 4, 6)
"""The stages whose answers are the features of stride 2, 4, 8, 16 and 32."""


class EvenConv(nn.Conv2d):
    """A convolution with stride 2 as TensorFlow pads it (more to the right and below), for even sides.

    The padding is a constant, which is the same for all sizes that a network is shown, and which exporters understand.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`B x C x H x W` -> `B x C' x H/2 x W/2`."""
        missing = self.kernel_size[0] - self.stride[0]
        before, after = missing // 2, missing - missing // 2
        return F.conv2d(
            F.pad(x, (before, after, before, after)), self.weight, self.bias, self.stride, groups=self.groups
        )


class Norm(nn.BatchNorm2d):
    """A batch norm with what follows it: an activation, or nothing."""

    def __init__(self, channels: int, *, activation: bool = True) -> None:
        super().__init__(channels, eps=1e-3)
        self.act = nn.ReLU6(inplace=True) if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """The shape stays."""
        answer: Tensor = self.act(super().forward(x))
        return answer


class First(nn.Module):
    """A filter for each channel, then a mixture of channels: the block of the first stage."""

    def __init__(self, inside: int, outside: int, side: int) -> None:
        super().__init__()
        self.conv_dw = _filters(inside, side, stride=1)
        self.bn1 = Norm(inside)
        self.conv_pw = nn.Conv2d(inside, outside, 1, bias=False)
        self.bn2 = Norm(outside, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        """`B x C x H x W` -> `B x C' x H x W`."""
        answer: Tensor = self.bn2(self.conv_pw(self.bn1(self.conv_dw(x))))
        return answer


class Inverted(nn.Module):
    """More channels, a filter for each, fewer channels; what came in is added where it has the same shape."""

    def __init__(self, inside: int, outside: int, side: int, stride: int) -> None:
        super().__init__()
        wide = WIDER * inside
        self.conv_pw = nn.Conv2d(inside, wide, 1, bias=False)
        self.bn1 = Norm(wide)
        self.conv_dw = _filters(wide, side, stride)
        self.bn2 = Norm(wide)
        self.conv_pwl = nn.Conv2d(wide, outside, 1, bias=False)
        self.bn3 = Norm(outside, activation=False)
        self.adds = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        """`B x C x H x W` -> `B x C' x H/stride x W/stride`."""
        changed: Tensor = self.bn3(self.conv_pwl(self.bn2(self.conv_dw(self.bn1(self.conv_pw(x))))))
        return changed + x if self.adds else changed


class Trunk(nn.Module):
    """The stem and the stages, named as timm names them."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv_stem = EvenConv(3, STEM, 3, stride=2, bias=False)
        self.bn1 = Norm(STEM)
        for _ in range(2):
            nn.Conv2d(8, 8, 1)  # drawn as timm draws them, so that a seed gives the weights it always gave
        stages: list[nn.Module] = []
        inside = STEM
        for number, side, stride, outside in STAGES:
            blocks: list[nn.Module] = []
            for k in range(number):
                first = not stages
                blocks.append(
                    First(inside, outside, side) if first else Inverted(inside, outside, side, stride if k == 0 else 1)
                )
                inside = outside
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # as TensorFlow draws them
                away = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
                nn.init.normal_(module.weight, 0, math.sqrt(2.0 / away))
        # Drawn with all stages, whatever is kept: the numbers drawn after them are the same for every depth.
        self.blocks = nn.Sequential(*stages[: ENDS[depth - 1] + 1])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features from stride 2 to the coarsest."""
        x, found = self.bn1(self.conv_stem(x)), []
        for number, stage in enumerate(self.blocks):
            x = stage(x)
            if number in ENDS:
                found.append(x)
        return found


class Lite0(nn.Module):
    """Pictures in, features at every stride out."""

    def __init__(self, depth: int) -> None:
        """`depth` strides, 2 to 2**depth; at most five."""
        super().__init__()
        self.model = Trunk(depth)
        self.out_channels = [3, *(STAGES[end][3] for end in ENDS[:depth])]
        """Of the features, from stride 1 to the coarsest."""

    def forward(self, x: Tensor) -> list[Tensor]:
        """`B x 3 x H x W` -> the picture and its features, from stride 1 to the coarsest."""
        return [x, *self.model(x)]


def _filters(channels: int, side: int, stride: int) -> nn.Conv2d:
    if stride == 1:
        return nn.Conv2d(channels, channels, side, padding=side // 2, groups=channels, bias=False)
    return EvenConv(channels, channels, side, stride=stride, groups=channels, bias=False)
