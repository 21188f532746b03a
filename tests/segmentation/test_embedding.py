"""What the encoder makes of a place comes with the answer, whichever runtime computes it and wherever tiles fall."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from qc.frame import Frame
from qc.inspection import inspect
from qc.verdict import Policy
from segmentation import tiled
from segmentation.config import NetworkConfig
from segmentation.networks import build, reach
from segmentation.runtimes import open_look, write
from segmentation.segmenter import FrameSegmenter
from segmentation.torch_look import torch_look

CONFIG = NetworkConfig(depth=4, decoder_channels=(8, 8, 8))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build(CONFIG, 2, imagenet=True).eval()


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(1).integers(0, 255, (300, 650), np.uint8)


def eyes(network, look=None):
    look = look or torch_look(network, threads=1)
    return FrameSegmenter(look, {1: "pit", 2: "scratch"}, reach(network, CONFIG.stride), CONFIG.stride)


def test_cells_cover_the_frame_and_the_answer_is_the_same_with_and_without(network, picture):
    plain = eyes(network)
    telling = replace(plain, keep_cells=True)
    one, other = plain.segment(picture), telling.segment(picture)
    assert one.cells is None
    assert other.cells.shape == (152, -(-300 // 16), -(-650 // 16))
    assert np.isfinite(other.cells).all()
    assert np.array_equal(one.log_odds, other.log_odds)


def test_cells_do_not_depend_on_where_tiles_fall(network, picture):
    see, seen = torch_look(network, threads=1).see, reach(network, CONFIG.stride)
    grids = []
    for core in (1536, 160):
        grid = np.full((152, 19, 41), np.nan, np.float32)
        for box, planes in tiled.answers(picture, see, reach=seen, stride=CONFIG.stride, core=core):
            cells = planes[2]
            top, left = box.y // 16, box.x // 16
            grid[:, top : top + cells.shape[1], left : left + cells.shape[2]] = cells
        grids.append(grid)
    assert np.abs(grids[0] - grids[1]).max() < 1e-3


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_another_runtime_says_the_same_of_every_place(network, tmp_path, runtime):
    window = np.random.default_rng(2).integers(0, 255, (160, 192, 3), np.uint8)
    write(runtime, network, CONFIG.stride, tmp_path, cells=True)
    ours = torch_look(network, threads=1).see(window)[2]
    theirs = open_look(runtime, tmp_path, threads=1).see(window)[2]
    assert theirs.shape == ours.shape == (152, 10, 12)
    assert np.abs(ours - theirs).max() < 1e-3 * np.abs(ours).max()


def test_a_network_without_an_encoder_answers_as_ever_and_says_nothing_of_places(network, picture):
    def look(window):
        return np.full(window.shape[:2], -5.0, np.float32), np.zeros(window.shape[:2], np.uint8)

    telling = replace(eyes(network, look), keep_cells=True)
    assert telling.segment(picture).cells is None
    assert inspect(Frame(picture, "", ""), telling, Policy(product="")).features is None
