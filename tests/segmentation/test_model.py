"""A model folder: what is loaded is what was saved, and damage is noticed."""

import json
import shutil
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from qc.errors import InvalidInput, NotFound
from qc.frame import Frame
from qc.inspection import inspect
from qc.verdict import parse_policy
from segmentation.model import identity, load_segmenter, model_id, read_card


@pytest.fixture
def frame():
    return np.random.default_rng(0).integers(0, 256, (150, 210), dtype=np.uint8)


def test_grey_colour_and_sixteen_bit_give_the_same_answer(model, frame):
    segmenter = load_segmenter(model)
    grey = segmenter.segment(frame)
    assert grey.log_odds.dtype == np.float16
    assert grey.class_id.dtype == np.uint8
    colour = segmenter.segment(np.dstack([frame] * 3))
    deep = segmenter.segment(frame.astype(np.uint16) << 8 | 255)
    for other in (colour, deep):
        assert np.array_equal(grey.log_odds, other.log_odds)


def test_a_12_bit_frame_is_read_as_the_pictures_that_were_learnt_from(model, frame):
    segmenter = replace(load_segmenter(model), camera_bits=12)
    deep = frame.astype(np.uint16) << 2
    for brightest in (1023, 1024):  # the last that ten bits hold, and the first that they do not
        deep[0, 0] = brightest
        seen = segmenter.segment(deep)
        assert seen.camera_bits == 12
        assert np.array_equal(seen.log_odds, segmenter.segment((deep >> 4).astype(np.uint8)).log_odds)


def test_a_products_word_on_its_cameras_depth_goes_before_the_models(model, frame):
    segmenter = replace(load_segmenter(model), camera_bits=16)
    deep = frame.astype(np.uint16) << 2
    policy = parse_policy({"camera_bits": {"s1": {"top": 10}}})
    seen = inspect(Frame(deep, "top", ""), segmenter, policy, station="s1")
    assert seen.score == inspect(Frame(frame, "top", ""), segmenter, policy, station="s1").score
    assert seen.score != inspect(Frame(deep, "left", ""), segmenter, policy, station="s1").score


def test_the_depth_belongs_to_the_models_id(model):
    card = read_card(model)
    assert identity({**card, "camera_bits": 12}) != identity(card) == card["id"]


def test_one_segmenter_serves_several_threads(model, frame):
    segmenter = load_segmenter(model)
    expected = segmenter.segment(frame).log_odds
    with ThreadPoolExecutor(4) as pool:
        for seen in pool.map(lambda _: segmenter.segment(frame), range(8)):
            assert np.array_equal(seen.log_odds, expected)


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (129, 17)])
def test_frames_smaller_than_a_tile_are_answered(model, shape):
    assert load_segmenter(model).segment(np.zeros(shape, np.uint8)).log_odds.shape == shape


def test_another_threshold_is_another_model(model, tmp_path):

    card = read_card(model)
    assert identity(card) == card["id"]
    assert identity({**card, "threshold": card["threshold"] + 0.01}) != card["id"]
    assert identity({**card, "figures": {}}) == card["id"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "weights.safetensors").write_bytes(b"no"), "damaged"),
        (lambda f: (f / "weights.safetensors").unlink(), "cannot be read"),
        (lambda f: (f / "model.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "model.json").write_text('{"format": 99}'), "format 99"),
        (lambda f: change(f, "threshold", 0.2), "changed after training"),
    ],
    ids=["weights", "no weights", "card", "future", "tampered"],
)
def test_a_damaged_model_is_refused(model, tmp_path, damage, words):
    folder = shutil.copytree(model, tmp_path / "copy")
    damage(folder)
    with pytest.raises(InvalidInput, match=words):
        load_segmenter(folder)


def change(folder, key, value):
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, key: value}))


def test_a_folder_without_a_model_says_what_to_do(tmp_path):
    with pytest.raises(NotFound, match="qc train"):
        model_id(tmp_path)


def test_a_device_that_is_not_there_is_named(model):
    with pytest.raises(InvalidInput, match="tpu"):
        load_segmenter(model, device="tpu")


def test_memory_beyond_the_answer_does_not_grow_with_the_frame(monkeypatch):
    """numpy's share of it: the network is replaced by arithmetic, so that a large frame is quick."""
    from segmentation.segmenter import FrameSegmenter

    def look(window):
        return window[..., 0].astype(np.float32), window[..., 1]

    peaks = []
    for side in (3000, 6000):
        pixels = np.zeros((side, side), np.uint8)
        tracemalloc.start()
        FrameSegmenter(look, {1: "scratch"}, reach=200, stride=16).segment(pixels)
        peaks.append(tracemalloc.get_traced_memory()[1] - 3 * side * side)
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] + 1_000_000
