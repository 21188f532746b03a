"""The light network: cheap, thin lines at stride 2, tiles as exact as any, the same on every runtime."""

import math

import numpy as np
import optuna
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from segmentation.answering import Answering
from segmentation.config import NETWORKS, TrainConfig
from segmentation.networks import PRIOR, Light, build, reach
from segmentation.networks.filters import lines_and_edges
from segmentation.runtimes import open_look, write
from segmentation.tiled import answers
from segmentation.tune import as_parameters, suggest

LIGHT = NETWORKS["light"]


@pytest.fixture(scope="module")
def network():
    """With statistics and weights that are nobody's start, two classes."""
    torch.manual_seed(3)
    made = build(LIGHT, 2)
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2.0)
                module.weight.uniform_(0.5, 1.5)
    return made.eval()


@pytest.fixture(scope="module")
def look(network):
    def logits(window):
        with torch.inference_mode():
            return list(network(torch.from_numpy(window).permute(2, 0, 1)[None] / 127.5 - 1)[0].numpy())

    return logits


def test_a_megapixel_costs_less_than_a_gigaflop():
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        build(LIGHT, 1).eval()(torch.zeros(1, 3, 512, 512))
    assert counter.get_total_flops() / 512**2 < 1000  # 2 for a multiplication and an addition


def test_it_sees_far_enough_to_tell_a_scratch_from_grain_and_needs_half_the_halo(network):
    assert 64 < reach(network, LIGHT.stride) <= 112


def test_lines_never_leave_stride_two(network):
    """From the first layer to the head there is a way on which nothing is coarser than cells of two pixels."""
    shapes = {}
    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: shapes.update({name: o.shape[-1]}))
        for name, module in network.named_modules()
        if name in ("stem", "fine", "last", "head")
    ]
    network(torch.zeros(1, 3, 128, 128))
    for handle in handles:
        handle.remove()
    assert shapes == dict.fromkeys(("stem", "fine", "last", "head"), 64)


def test_no_layer_uses_statistics_of_the_tile(network):
    tile_wide = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.GroupNorm, nn.InstanceNorm2d, nn.LayerNorm)
    assert not any(isinstance(m, tile_wide) for m in network.modules())


def test_tiled_equals_whole_wherever_tiles_fall(network, look):
    distance, stride = reach(network, LIGHT.stride), LIGHT.stride
    random = np.random.default_rng(5)
    for height, width in ((333, 471), (61, 40)):
        pixels = random.integers(0, 256, (height, width), dtype=np.uint8)
        ((_, planes),) = answers(pixels, look, reach=distance, stride=stride, core=4096)
        whole = np.stack(planes)
        for core in random.integers(2, 20, 3) * stride:
            for box, logits in answers(pixels, look, reach=distance, stride=stride, core=int(core)):
                there = whole[:, box.y : box.bottom, box.x : box.right]
                assert np.abs(np.stack(logits) - there).max() < 1e-4


def test_every_pixel_of_a_cell_can_have_its_own_answer(network):
    """Of the four pixels that share a cell, a change of one is answered at all four, and not in the same way."""
    picture = torch.zeros(1, 3, 64, 64)
    changed = picture.clone()
    changed[..., 32, 32] = 1.0
    with torch.inference_mode():
        moved = (network(changed) - network(picture))[0, 1, 32:34, 32:34]
    assert (moved != 0).all()
    other = build(LIGHT, 2)
    assert all(torch.equal(other.head.weight[4 * k], other.head.weight[4 * k + 3]) for k in range(3))
    assert len({round(float(v), 6) for v in moved.flatten()}) == 1  # until something is learnt they are alike


def test_at_the_start_nearly_everything_is_background():
    torch.manual_seed(0)
    logits = build(LIGHT, 3).eval()(torch.zeros(1, 3, 64, 64))
    assert logits.shape == (1, 4, 64, 64)
    assert (logits[:, 0] - logits[:, 1:].amax(1)).mean() > PRIOR / 2


def test_the_same_seed_gives_the_same_network():
    weights = []
    for _ in range(2):
        torch.manual_seed(7)
        weights.append(build(LIGHT, 1).state_dict())
    assert all(torch.equal(weights[0][n], weights[1][n]) for n in weights[0])


@pytest.mark.parametrize("depth", [3, 4, 5])
@pytest.mark.parametrize("width", [0.5, 2.0])
def test_every_depth_and_width_of_the_search_is_a_network(depth, width):
    parameters = {**as_parameters(TrainConfig(), LIGHT), "depth": depth, "width": width}
    _, config = suggest(optuna.trial.FixedTrial(parameters))
    network = build(config, 1).eval()
    assert isinstance(network, Light)
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 2, 64, 64)


def test_it_starts_from_lines_and_edges_of_all_directions():
    filters = lines_and_edges()
    assert torch.equal(build(LIGHT, 1).stem.lines.weight, filters)
    assert torch.allclose(filters.mean(dim=(2, 3)), torch.zeros(16, 1), atol=1e-6)
    assert torch.allclose(filters.pow(2).sum(dim=(2, 3)), torch.ones(16, 1))
    for turned in (filters.rot90(1, (2, 3)), filters.flip(3)):
        apart = torch.cdist(turned.flatten(1), filters.flatten(1))
        assert apart.min(dim=1).values.max() < 1e-5
        assert apart.argmin(dim=1).unique().numel() == 16


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("brightness", [1.0, -1.0])
def test_a_line_is_answered_most_by_the_filter_of_its_direction(turn, brightness):
    ticks = torch.arange(24) - 11.5
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    across = x * math.cos(turn * math.pi / 4) + y * math.sin(turn * math.pi / 4)
    picture = brightness * (across.abs() < 1.2).float()[None, None]
    answer = nn.functional.conv2d(picture, lines_and_edges())[0, :, 9, 9]  # centred on the line
    assert int(answer.argmax()) == turn + (0 if brightness > 0 else 4)


@pytest.mark.filterwarnings("ignore")  # of the exporters
@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_other_runtimes_say_the_same(network, tmp_path, runtime):
    write(runtime, network, LIGHT.stride, tmp_path)
    theirs = open_look(runtime, tmp_path, threads=1)
    window = np.random.default_rng(0).integers(0, 256, (176, 240, 3), np.uint8)
    with torch.inference_mode():
        odds, place = Answering(network).eval()(torch.from_numpy(window)[None])
    their_odds, their_place = theirs(window)
    assert np.abs(odds.numpy() - their_odds).max() < 1e-3
    assert (place.numpy() == their_place).mean() > 0.999
