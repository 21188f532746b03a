"""Tiles give what the whole frame gives, wherever they fall."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qc.geometry import Box
from segmentation.config import NetworkConfig
from segmentation.networks import build, reach
from segmentation.tiled import NARROWEST_PX, WINDOW_PX, answers, balanced_core, continued, look_at

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


def windows(height, width, halo, core):
    """Rows and columns of pixels of each window, which ends where the frame ends."""
    rows, columns = (
        [min(start + side + halo, px) - max(start - halo, 0) for start in range(0, px, side)]
        for px, side in ((height, core[0]), (width, core[1]))
    )
    return [(high, wide) for high in rows for wide in columns]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9000), st.integers(1, 9000), st.sampled_from([8, 16, 32]), st.integers(0, 14))
def test_all_of_a_frame_is_looked_at_in_windows_that_memory_holds_and_with_no_more_work_than_squares_take(
    height, width, stride, halos
):
    halo = halos * stride
    core = balanced_core(height, width, stride, halo)
    assert core[0] % stride == core[1] % stride == 0
    ours = windows(height, width, halo, core)
    assert all(high * wide <= WINDOW_PX + 32 * (high + wide) for high, wide in ours)
    square = (int(WINDOW_PX**0.5) - 2 * halo) // stride * stride
    theirs = windows(height, width, halo, (square, square))
    assert sum(high * wide for high, wide in ours) <= 1.04 * sum(high * wide for high, wide in theirs)


def test_a_frame_that_fits_into_a_window_is_one_and_twelve_megapixels_are_four():
    assert balanced_core(2000, 1950, 16, 208) == (2000, 1952)
    assert balanced_core(3000, 4000, 16, 208) == (1504, 2000)


def test_where_nothing_fits_cores_are_as_narrow_as_they_may_be():
    assert balanced_core(1000, 600, 16, 208, 1) == (256, 304)  # thirds would see all 600 px, too
    assert max(balanced_core(10_000, 10_000, 16, 208, 1)) <= NARROWEST_PX


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
