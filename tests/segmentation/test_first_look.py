"""The network looks only where something may be, and says there what it always said."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qc.dataset import open_dataset
from qc.defects import find_blobs
from qc.errors import InvalidInput
from segmentation import first_look_proof
from segmentation.config import NetworkConfig
from segmentation.cover import cover
from segmentation.first_look import (
    CELL_PX,
    FEATURES,
    SURELY,
    FirstLook,
    beyond,
    features,
    from_json,
    to_json,
)
from segmentation.first_look_proof import bound, check, fit, settle
from segmentation.model import load_segmenter, model_id, with_first_look
from segmentation.networks import build, reach
from segmentation.segmenter import FrameSegmenter
from segmentation.torch_look import torch_look


def metal(height, width, seed=0):
    random = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(random.normal(0, 30, (height, width)).astype(np.float32), (31, 1), 8)
    return np.clip(130 + noise, 0, 255).astype(np.uint8)


def excess(threshold):
    """Interest is the brightest spot's excess at the smallest size, as a logarithm."""
    hidden, out = np.zeros((FEATURES + 1, 1), np.float32), np.array([1, 0], np.float32)
    hidden[0, 0] = 1
    return FirstLook(hidden, out, threshold)


@pytest.fixture(scope="module")
def frame():
    """Metal with two short bright scratches and a long one."""
    pixels = metal(900, 1400)
    cv2.line(pixels, (200, 150), (215, 160), 255, 2)
    cv2.line(pixels, (1200, 800), (1210, 815), 255, 2)
    cv2.line(pixels, (500, 700), (900, 700), 255, 2)
    return pixels


@pytest.fixture(scope="module")
def network():
    """An untrained network of small reach."""
    import torch

    torch.manual_seed(0)
    config = NetworkConfig(depth=3, decoder_channels=(16, 8))
    net = build(config, 1, imagenet=True).eval()
    return FrameSegmenter(torch_look(net, threads=1), {1: "scratch"}, reach(net, config.stride), config.stride)


def test_what_is_looked_at_is_answered_as_without_a_first_look_and_the_rest_is_surely_background(frame, network):
    plain = network.segment(frame)
    # An untrained network sees defects nowhere or everywhere; the median answer as edge would be followed everywhere.
    sure = replace(network, calibration=(1.0, -60.0), first_look=excess(4.5))
    seen, all_of_it = sure.segment(frame), replace(sure, first_look=None).segment(frame)
    looked = seen.log_odds != np.float16(SURELY)
    assert 0 < looked.mean() < 0.6
    assert (seen.log_odds[~looked] == np.float16(SURELY)).all()
    wanted = np.repeat(np.repeat(sure.first_look.cells(frame), CELL_PX, 0), CELL_PX, 1)[:900, :1400]
    assert looked[wanted].all()
    difference = np.abs(seen.log_odds.astype(np.float32) - all_of_it.log_odds)[looked]
    assert difference.max() <= 0.05  # half precision at -60 has steps of 1/32
    assert (seen.class_id == plain.class_id).all()


def test_a_frame_full_of_interest_is_looked_at_as_always(frame, network):
    seen = replace(network, first_look=excess(-1.0)).segment(frame)
    assert np.array_equal(seen.log_odds, network.segment(frame).log_odds)


def test_a_frame_without_interest_is_not_looked_at(frame, network):
    seen = replace(network, first_look=excess(99.0)).segment(frame)
    assert (seen.log_odds == np.float16(SURELY)).all()
    assert (seen.class_id == 1).all()


def test_a_defect_that_is_looked_at_somewhere_is_answered_whole():
    """The look sees one end of a long line only; a network that answers brightness is asked on to the other end."""

    def bright(window):
        grey = window[..., 0].astype(np.float32)
        return (grey - 250.0) * 10, np.zeros(grey.shape, np.uint8)

    pixels = np.full((640, 960), 100, np.uint8)
    ys = (320 + 200 * np.sin(np.arange(100, 860) / 120)).astype(int)
    pixels[ys, np.arange(100, 860)] = 255
    pixels[ys + 1, np.arange(100, 860)] = 255
    pixels[90:93, 820:830] = 255  # a second one, never looked at
    eyes = FrameSegmenter(bright, {1: "scratch"}, 16, 16)
    one_end = np.zeros((20, 30), np.bool_)
    one_end[ys[0] // CELL_PX, 100 // CELL_PX] = True

    class Look:
        def cells(self, _):
            return one_end

    seen, plain = (e.segment(pixels) for e in (replace(eyes, first_look=Look()), eyes))
    a, b = (find_blobs(s, threshold=0.5) for s in (seen, plain))
    whole = [blob for blob in b if blob.box.width > 100]
    assert len(b) == len(whole) + 1
    assert [x.box for x in a] == [x.box for x in whole]
    assert np.array_equal(a[0].pixels, whole[0].pixels)


def test_what_goes_on_beyond_is_found_across_sides_and_corners():
    log_odds = np.full((100, 70), SURELY, np.float16)  # 4 x 3 cells, the last ones cut
    looked = np.zeros((4, 3), np.bool_)
    looked[1, 1] = True
    log_odds[63, 63] = 3.0
    assert np.argwhere(beyond(log_odds, looked, 0.0)).tolist() == [[1, 2], [2, 1], [2, 2]]
    log_odds[63, 63], log_odds[40, 40] = SURELY, 3.0
    assert not beyond(log_odds, looked, 0.0).any()


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.floats(0.002, 0.2), st.sampled_from([(1999, 3001), (130, 4000), (500, 1263)]))
def test_a_cover_answers_for_every_wanted_cell_once(seed, share, shape):
    height, width = shape
    rows, columns = -(-height // CELL_PX), -(-width // CELL_PX)
    wanted = np.random.default_rng(seed).random((rows, columns)) < share
    cores = cover(wanted, height, width, cell=CELL_PX, reach=201, stride=16)
    if cores is None:
        return
    times = np.zeros(shape, np.uint8)
    for box in cores:
        assert box.x % 16 == box.y % 16 == 0
        assert box.right <= width
        assert box.bottom <= height
        assert max(box.width, box.height) <= 1536
        times[box.y : box.bottom, box.x : box.right] += 1
    assert times.max(initial=0) <= 1
    assert times[np.repeat(np.repeat(wanted, CELL_PX, 0), CELL_PX, 1)[:height, :width]].all()


def test_two_far_cells_are_two_windows_and_two_near_ones_are_one():
    wanted = np.zeros((60, 90), np.bool_)
    wanted[5, 5] = wanted[50, 80] = True
    assert len(cover(wanted, 1920, 2880, cell=32, reach=201, stride=16)) == 2
    wanted[50, 80], wanted[5, 7] = False, True
    assert len(cover(wanted, 1920, 2880, cell=32, reach=201, stride=16)) == 1
    assert cover(np.ones((60, 90), np.bool_), 1920, 2880, cell=32, reach=201, stride=16) is None
    assert cover(np.zeros((60, 90), np.bool_), 1920, 2880, cell=32, reach=201, stride=16) == []


def test_features_do_not_depend_on_the_band(frame, monkeypatch):
    from segmentation import first_look

    found = features(frame)
    assert found.shape == (29, 44, FEATURES)
    monkeypatch.setattr(first_look, "BAND_PX", 4096)
    assert np.array_equal(features(frame), found)


def test_the_scratch_stands_out_and_the_metal_does_not(frame):
    wanted = excess(5.5).cells(frame)
    assert wanted[150 // CELL_PX, 200 // CELL_PX]
    assert wanted.mean() < 0.1


@pytest.fixture(scope="module")
def large(drawn_dataset, tmp_path_factory):
    return drawn_dataset(tmp_path_factory.mktemp("large") / "large", parts=16, val=4, size=(320, 480), seed=3)


@pytest.fixture(scope="module")
def settled(model, large):
    return settle(model, open_dataset(large), most_lost=0.8)


def test_a_settled_first_look_loses_no_defect_of_val_and_says_what_is_known(settled):
    _, proof = settled
    assert proof["val"]["lost"] == 0
    assert proof["val"]["defective_parts"] == 2
    assert proof["val"]["mask_pixels_that_differ"] == 0
    assert proof["val"]["lost_parts_at_most"] == pytest.approx(1 - 0.05 ** (1 / 2), abs=1e-4)
    assert proof["network_work_spared"] >= 0.2
    assert 0 < proof["skipped"] < 1
    assert json.loads(json.dumps(proof)) == proof


def test_the_same_data_give_the_same_first_look(settled, large):
    data = open_dataset(large)
    again = fit(data.split("train"), data.classes)
    assert all(np.array_equal(a, b) for a, b in zip(again, (settled[0].hidden, settled[0].out), strict=True))


def test_a_model_with_a_first_look_is_another_model_and_its_file_is_guarded(settled, model, tmp_path):
    look, proof = settled
    card = with_first_look(model, look, tmp_path / "new", about=proof)
    segmenter = load_segmenter(tmp_path / "new")
    assert segmenter.model_id == card["id"] != model_id(model)
    assert to_json(segmenter.first_look) == to_json(look)
    file = tmp_path / "new" / "first_look.json"
    file.write_text(file.read_text().replace('"threshold": ', '"threshold": 1'))
    with pytest.raises(InvalidInput, match="damaged"):
        load_segmenter(tmp_path / "new")
    file.unlink()
    with pytest.raises(InvalidInput, match="damaged"):
        load_segmenter(tmp_path / "new")


def test_too_few_defective_parts_are_refused_with_the_number_needed(model, large):
    with pytest.raises(InvalidInput, match=r"2 val parts show.*78%.*29 such parts"):
        settle(model, open_dataset(large))


def test_a_first_look_that_spares_too_little_is_refused(model, scratches, monkeypatch):
    monkeypatch.setattr(first_look_proof, "LEAST_SAVED", 0.99)
    with pytest.raises(InvalidInput, match="less than 99%"):
        settle(model, open_dataset(scratches), most_lost=0.99)


def test_defects_of_other_parts_that_are_looked_at_nowhere_are_counted(settled, large):
    look, data = settled[0], open_dataset(large)
    said = check(replace(look, threshold=99.0), data.split("val"), data.classes)
    assert (said["lost"], said["lost_parts"], said["lost_parts_at_most"]) == (4, 2, 1.0)
    assert check(look, data.split("val"), data.classes)["lost"] == 0
    assert check(look, data.split("test"), data.classes) is None


def test_the_bound_is_the_exact_binomial_one():
    assert bound(0, 29) == pytest.approx(0.0981, abs=1e-4)
    assert bound(29, 29) == 1.0


def test_a_damaged_first_look_is_refused(settled):
    said = to_json(settled[0])
    assert to_json(from_json(json.loads(json.dumps(said)))) == said
    for change in ({"format": 9}, {"out": [1.0]}, {"threshold": None}, {"hidden": "x"}):
        with pytest.raises(InvalidInput, match="first look"):
            from_json({**said, **change})
