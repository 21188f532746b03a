"""Tiles give what the whole frame gives, wherever they fall."""

import numpy as np
import pytest
import torch

from qc.geometry import Box
from segmentation.config import NetworkConfig
from segmentation.networks import build, reach
from segmentation.tiled import answers, continued, look_at

NETWORKS = {
    3: NetworkConfig(depth=3, decoder_channels=(16, 8)),
    4: NetworkConfig(depth=4, decoder_channels=(16, 8, 8)),
}


@pytest.fixture(scope="module", params=[3, 4])
def net(request):
    torch.manual_seed(request.param)
    config = NETWORKS[request.param]
    network = build(config, 2, imagenet=True).eval()

    def look(window):
        with torch.inference_mode():
            return list(network(torch.from_numpy(window).permute(2, 0, 1)[None] / 127.5 - 1)[0].numpy())

    return network, config.stride, look, reach(network, config.stride)


def whole(pixels, look, net_reach, stride):
    (only,) = answers(pixels, look, reach=net_reach, stride=stride, core=4096)
    return np.stack(only[1])


def test_tiled_equals_whole_wherever_tiles_fall(net):
    _, stride, look, distance = net
    random = np.random.default_rng(5)
    for height, width in ((333, 471), (97, 620), (61, 40)):
        pixels = random.integers(0, 256, (height, width), dtype=np.uint8)
        expected = whole(pixels, look, distance, stride)
        for core in random.integers(2, 20, 3) * stride:
            found = np.full_like(expected, np.nan)
            for box, logits in answers(pixels, look, reach=distance, stride=stride, core=int(core)):
                found[:, box.y : box.bottom, box.x : box.right] = np.stack(logits)
            assert np.abs(found - expected).max() < 1e-4


def test_a_halo_shorter_than_the_reach_would_be_seen(net):
    _, stride, look, distance = net
    pixels = np.random.default_rng(6).integers(0, 256, (320, 480), dtype=np.uint8)
    expected = whole(pixels, look, distance, stride)
    worst = 0.0
    for box, logits in answers(pixels, look, reach=stride, stride=stride, core=8 * stride):
        worst = max(worst, np.abs(np.stack(logits) - expected[:, box.y : box.bottom, box.x : box.right]).max())
    assert worst > 1e-4


def test_nothing_beyond_the_reach_matters(net):
    """Whatever changes beyond the reach, the answer stays the same to the bit."""
    network, stride, _, distance = net
    height, width = stride, -(-(2 * distance + 4 * stride) // stride) * stride
    middle = width // 2 // stride * stride
    with torch.no_grad():
        picture = torch.rand(1, 3, height, width)
        before = network(picture)[..., middle : middle + stride]
        changed = picture.clone()
        changed[..., : middle - distance] += 10.0
        changed[..., middle + stride + distance :] += 10.0
        assert torch.equal(network(changed)[..., middle : middle + stride], before)


def test_a_small_frame_is_continued_by_reflection():
    pixels = np.arange(6, dtype=np.uint8)[None].repeat(2, axis=0)
    seen = look_at(pixels, Box(0, 0, 16, 4))
    assert seen[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 0, 0, 1, 2, 3]
    assert seen.shape == (4, 16, 3)


@pytest.mark.parametrize(("length", "expected"), [(1, 128), (128, 128), (129, 144), (1600, 1600)])
def test_frames_are_continued_to_the_stride(length, expected):
    assert continued(length, 16) == expected
