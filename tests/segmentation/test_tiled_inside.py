"""Of a halo the decoder computes only what it needs, and the answer is that of the whole frame all the same."""

import threading

import numpy as np
import pytest
import torch

from qc.geometry import Box
from segmentation.config import NetworkConfig
from segmentation.looking import Abreast
from segmentation.networks import build, reach
from segmentation.runtimes import open_look, write
from segmentation.tiled import RIM_CELLS, answers
from segmentation.torch_look import torch_look

SHAPES = {4: NetworkConfig(), 5: NetworkConfig(depth=5, decoder_channels=(64, 48, 32, 24))}
pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters


def network_of(depth):
    torch.manual_seed(depth)
    return build(SHAPES[depth], 2, imagenet=True).eval()


def frame(height, width):
    return np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)


def joined(pixels, look, network, config, **how):
    odds = np.full(pixels.shape[:2], np.nan, np.float32)
    seen = reach(network, config.stride)
    for box, (said, *_) in answers(pixels, look.see, reach=seen, stride=config.stride, **how):
        odds[box.y : box.bottom, box.x : box.right] = said
    return odds


@pytest.mark.parametrize("depth", SHAPES)
def test_tiles_whose_decoder_sees_only_their_inside_answer_as_the_whole_frame(depth):
    network, pixels = network_of(depth), frame(640, 1300 if depth == 5 else 900)
    look = torch_look(network, threads=1)
    whole = look.see(
        np.ascontiguousarray(
            np.pad(pixels, ((0, 0), (0, -pixels.shape[1] % SHAPES[depth].stride), (0, 0)), "symmetric")
        )
    )[0]
    tiled = joined(pixels, look, network, SHAPES[depth], core=160, inside=look.inside)
    assert np.abs(tiled - whole[: pixels.shape[0], : pixels.shape[1]]).max() < 1e-4


def test_less_than_the_rim_would_not_do(monkeypatch):
    network, pixels = network_of(4), frame(512, 512)
    look = torch_look(network, threads=1)
    cores = [Box(256, 256, 64, 64)]
    right = joined(pixels, look, network, SHAPES[4], cores=cores)
    monkeypatch.setattr("segmentation.tiled.RIM_CELLS", RIM_CELLS - 2)
    wrong = joined(pixels, look, network, SHAPES[4], cores=cores, inside=look.inside)
    assert np.nanmax(np.abs(right - wrong)) > 1e-3


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_windows_side_by_side_answer_to_the_last_bit_as_one_after_the_other(runtime, tmp_path):
    network, pixels = network_of(4), frame(400, 700)
    write(runtime, network, 16, tmp_path, cells=True)
    alone, two = (open_look(runtime, tmp_path, threads=1, at_once=count) for count in (1, 2))
    assert alone.abreast is None
    assert two.abreast.count == 2
    how = {"core": 128, "reach": 64, "stride": 16}
    before = list(answers(pixels, alone.see, inside=alone.inside, **how))
    after = list(answers(pixels, two.see, inside=two.inside, abreast=two.abreast, **how))
    assert [box for box, _ in after] == [box for box, _ in before]
    for (_, said), (_, same) in zip(before, after, strict=True):
        assert [plane.tobytes() for plane in said] == [plane.tobytes() for plane in same]
    window = pixels[:256, :512]  # of a frame with one window all threads compute it
    assert [plane.tobytes() for plane in alone.see(window)] == [plane.tobytes() for plane in two.see(window)]


def test_a_frame_of_several_windows_is_asked_about_side_by_side():
    together = threading.Barrier(2, timeout=30)

    def look(window):
        together.wait()  # one window alone would wait in vain
        return [window[..., 0].astype(np.float32)]

    pixels = frame(128, 512)
    said = answers(pixels, look, reach=0, stride=16, core=128, abreast=Abreast(look, None, 2))
    assert [(box.x, plane.tobytes()) for box, (plane,) in said] == [
        (x, pixels[:, x : x + 128, 0].astype(np.float32).tobytes()) for x in range(0, 512, 128)
    ]


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_other_runtimes_compute_the_inside_alike(runtime, tmp_path):
    network, pixels = network_of(4), frame(300, 700)
    write(runtime, network, 16, tmp_path, cells=True)
    ours, theirs = torch_look(network, threads=1), open_look(runtime, tmp_path, threads=1)
    assert theirs.inside is not None
    a = joined(pixels, ours, network, SHAPES[4], core=256)
    b = joined(pixels, theirs, network, SHAPES[4], core=256, inside=theirs.inside)
    assert np.abs(a - b).max() < 1e-2
    window = pixels[:256, :512]
    rows, columns = np.arange(3, 9), np.arange(5, 30)
    for whole, part in zip(theirs.see(window), theirs.inside(window, rows, columns), strict=True):
        px = window.shape[1] // whole.shape[-1]
        cut = whole[..., 48 // px : 144 // px, 80 // px : 480 // px]
        assert part.shape == cut.shape
