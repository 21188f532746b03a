"""Networks: pretrained where they say so, without layers that look at the whole tile."""

import pytest
import torch
from torch import nn

from qc.errors import InvalidInput
from segmentation.config import NetworkConfig, as_json, network_config
from segmentation.networks import PRIOR, build


def test_the_encoder_starts_from_imagenet():
    torch.manual_seed(0)
    a = build(NetworkConfig(), 1, imagenet=True).encoder.state_dict()
    torch.manual_seed(1)
    b = build(NetworkConfig(), 1, imagenet=True).encoder.state_dict()
    assert all(torch.equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("depth", [3, 4, 5])
def test_no_layer_uses_statistics_of_the_tile(depth):
    config = NetworkConfig(depth=depth, decoder_channels=(32, 24, 16, 16)[: depth - 1])
    network = build(config, 1)
    tile_wide = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.GroupNorm, nn.InstanceNorm2d, nn.LayerNorm)
    assert not any(isinstance(m, tile_wide) for m in network.modules())


def test_at_the_start_nearly_everything_is_background():
    torch.manual_seed(0)
    logits = build(NetworkConfig(), 3, imagenet=True).eval()(torch.zeros(1, 3, 64, 64))
    assert logits.shape == (1, 4, 64, 64)
    assert (logits[:, 0] - logits[:, 1:].amax(1)).mean() > PRIOR / 2


def test_a_configuration_survives_json():
    config = NetworkConfig(depth=5, decoder_channels=(64, 48, 32, 24))
    assert network_config(as_json(config)) == config


@pytest.mark.parametrize(
    "values",
    [{"depth": 6}, {"depth": 4, "decoder_channels": [8]}, {"window": 3}],
    ids=["depth", "channels", "unknown"],
)
def test_a_network_that_cannot_be_is_refused(values):
    with pytest.raises(InvalidInput):
        network_config(values)


def test_an_encoder_without_offline_weights_is_refused():
    with pytest.raises(InvalidInput, match="resnet"):
        build(NetworkConfig(encoder="resnet18"), 1)
