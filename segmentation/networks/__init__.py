"""NetworkConfig -> network: one with ImageNet weights, or a light one for thin defects on a plain CPU."""

from __future__ import annotations

from torch import channels_last

from segmentation.config import LIGHT, NetworkConfig
from segmentation.networks.aligned import aligned
from segmentation.networks.base import PRIOR, Network
from segmentation.networks.light import Light
from segmentation.networks.pretrained import IMAGENET, Pretrained, imagenet_weights
from segmentation.networks.reach import reach

__all__ = ["IMAGENET", "PRIOR", "Light", "Network", "Pretrained", "aligned", "build", "imagenet_weights", "reach"]


def build(config: NetworkConfig, classes: int, *, imagenet: bool = False) -> Network:
    """A network for `classes` classes; channels last, which is many times faster on CPUs.

    Args:
        config: its shape.
        classes: how many, background not counted.
        imagenet: ImageNet weights for the encoder. A light network has none to load: it starts from filters for lines
            and edges, or from chance, as `light.py` says.

    Raises:
        InvalidInput: an encoder we have no weights for.
    """
    network: Network = Light(config, classes) if config.encoder == LIGHT else Pretrained(config, classes)
    if imagenet and isinstance(network, Pretrained):
        network.load_imagenet(config.encoder)
    return network.to(memory_format=channels_last)
