"""The network looks only where something may be, and says there what it always said."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from qc.dataset import Sample, open_dataset
from qc.defects import find_blobs
from qc.errors import InvalidInput
from qc.features import pooled
from qc.geometry import Box
from segmentation import first_look_proof, tiled
from segmentation.config import NetworkConfig
from segmentation.cover import cover
from segmentation.first_look import (
    CELL_PX,
    REACH_PX,
    SAMPLE_CELLS,
    SURELY,
    FirstLook,
    Seen,
    beyond,
    open_first_look,
    sample_of,
)
from segmentation.first_look_network import load, save
from segmentation.first_look_proof import bound, lost, settle
from segmentation.first_look_training import STARTER, learn
from segmentation.model import load_segmenter, model_id, read_card, with_first_look
from segmentation.networks import build, reach
from segmentation.ready import make_ready, open_ready
from segmentation.runtimes import write_first_look
from segmentation.segmenter import FrameSegmenter, looking_everywhere
from segmentation.torch_look import torch_look
from server.retraining_steps import train_challenger


def metal(height, width, seed=0):
    random = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(random.normal(0, 30, (height, width)).astype(np.float32), (31, 1), 8)
    return np.clip(130 + noise, 0, 255).astype(np.uint8)


def excess(threshold):
    """Interest is how far a cell's brightest pixel exceeds its surroundings, in grey levels, less `threshold`."""

    def glance(window):
        grey = window[..., 0].astype(np.float32)
        stands_out = grey - cv2.blur(grey, (9, 9))
        rows, columns = (side // CELL_PX for side in grey.shape)
        return stands_out.reshape(rows, CELL_PX, columns, CELL_PX).max((1, 3)) - threshold

    return FirstLook(glance, 16)


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
    torch.manual_seed(0)
    config = NetworkConfig(depth=3, decoder_channels=(16, 8))
    net = build(config, 1, imagenet=True).eval()
    return FrameSegmenter(torch_look(net, threads=1), {1: "scratch"}, reach(net, config.stride), config.stride)


def test_what_is_looked_at_is_answered_as_without_a_first_look_and_the_rest_is_surely_background(frame, network):
    plain = network.segment(frame)
    # An untrained network sees defects nowhere or everywhere; the median answer as edge would be followed everywhere.
    sure = replace(network, calibration=(1.0, -60.0), first_look=excess(40))
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
    seen = replace(network, first_look=excess(-1000)).segment(frame)
    assert np.array_equal(seen.log_odds, network.segment(frame).log_odds)


def test_a_frame_without_interest_is_not_looked_at(frame, network):
    seen = replace(network, first_look=excess(999)).segment(frame)
    assert (seen.log_odds == np.float16(SURELY)).all()
    assert (seen.class_id == 1).all()


def test_the_middle_stands_for_the_frame_whatever_it_shows(frame, network):
    """Drift is seen by what the encoder makes of a frame: of the same place each time, not of what is interesting."""
    sparing = replace(network, calibration=(1.0, -60.0), keep_cells=True, first_look=excess(40))
    nothing, all_of_it = replace(sparing, first_look=excess(999)), looking_everywhere(sparing)
    seen = [eyes.segment(frame) for eyes in (sparing, nothing, all_of_it)]
    assert [one.sample for one in seen] == [sample_of(900, 1400)] * 3
    looked = nothing.segment(frame).log_odds != np.float16(SURELY)
    assert looked.sum() == (SAMPLE_CELLS * CELL_PX) ** 2
    boxes, instances = [], np.zeros(frame.shape, np.uint16)
    one, other, whole = (pooled(s.cells, instances, boxes, cell_px=s.cell_px, sample=s.sample).image for s in seen)
    assert np.abs(one - other).max() < 1e-3
    assert np.abs(one - whole).max() < 1e-3


def test_who_must_know_every_place_is_answered_for_every_place(frame, network):
    eyes = looking_everywhere(replace(network, first_look=excess(999)))
    assert np.array_equal(eyes.segment(frame).log_odds, network.segment(frame).log_odds)


def test_a_small_frame_is_its_own_sample():
    assert sample_of(50, 300) == Box(96, 0, 128, 50)
    assert sample_of(20, 20) == Box(0, 0, 20, 20)


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
        def see(self, _):
            return Seen(one_end)

        def borne_out(self, *_):
            return True

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


def test_interest_does_not_depend_on_where_windows_fall(frame, monkeypatch):
    look = load(STARTER).look(threads=1)
    whole = look.interest(frame)
    assert whole.shape == (29, 44)
    monkeypatch.setattr(tiled, "WINDOW_PX", 560**2)
    assert max(tiled.balanced_core(*frame.shape[:2], CELL_PX, tiled.halo_of(REACH_PX, CELL_PX))) < 500
    assert np.abs(look.interest(frame) - whole).max() < 1e-4


def test_how_far_it_sees_is_what_is_written(monkeypatch):
    network = load(STARTER)
    probed = nn.Sequential(Mean(), network.steps, network.head, nn.Upsample(scale_factor=16))
    assert reach(probed, 16) == REACH_PX


class Mean(nn.Module):
    def forward(self, picture):
        return picture.mean(dim=1, keepdim=True)


def test_the_scratch_stands_out_and_the_metal_does_not(frame):
    wanted = excess(60).cells(frame)
    assert wanted[150 // CELL_PX, 200 // CELL_PX]
    assert wanted.mean() < 0.1


@pytest.mark.parametrize("runtime", ["onnx", "openvino", "openvino-int8"])
def test_every_runtime_says_how_interesting_torch_finds_it(runtime, frame, tmp_path):
    network = load(STARTER)
    write_first_look(runtime, network, tmp_path)
    said = open_first_look(runtime, tmp_path, threads=1).interest(frame)
    assert np.abs(said - network.look(threads=1).interest(frame)).max() < 1e-3


def test_a_runtime_without_its_file_says_what_to_do(tmp_path):
    with pytest.raises(InvalidInput, match="make it ready again"):
        open_first_look("onnx", tmp_path)
    (tmp_path / "first_look.onnx").write_bytes(b"no graph")
    with pytest.raises(InvalidInput, match=r"damaged.*make it ready again"):
        open_first_look("onnx", tmp_path)


@pytest.fixture(scope="module")
def large(drawn_dataset, tmp_path_factory):
    return drawn_dataset(tmp_path_factory.mktemp("large") / "large", parts=16, val=4, size=(320, 480), seed=3)


@pytest.fixture(scope="module")
def settled(model, large):
    return settle(model, open_dataset(large), most_lost=0.8, steps=20)


def test_a_settled_first_look_loses_nothing_that_is_found_on_val_and_says_what_is_known(settled):
    _, proof = settled
    assert proof["val"]["lost"] == 0
    assert proof["val"]["parts_with_a_found_defect"] == 2
    assert proof["val"]["mask_pixels_that_differ"] == 0
    assert proof["val"]["lost_parts_at_most"] == pytest.approx(1 - 0.05 ** (1 / 2), abs=1e-4)
    assert proof["val"]["least_interesting"] > 0
    assert proof["network_work_spared"] >= 0.2
    assert 0 < proof["skipped"] < 1
    assert proof["test"] is None
    assert json.loads(json.dumps(proof)) == proof


def test_the_same_data_give_the_same_first_look(large):
    data = open_dataset(large)
    one, other = (learn(data.split("train"), data.classes, steps=3) for _ in range(2))
    assert all(torch.equal(a, other.state_dict()[name]) for name, a in one.state_dict().items())


def test_too_little_to_learn_from_is_refused_with_the_number_needed(large):
    data = open_dataset(large)
    clean = [s for s in data.split("train") if not (s.labels(data.classes) > 0).any()]
    with pytest.raises(InvalidInput, match=r"0 drawn defects.*at least 8"):
        learn(clean, data.classes)


def test_a_model_with_a_first_look_is_another_model_and_its_file_is_guarded(settled, model, tmp_path, frame):
    network, proof = settled
    card = with_first_look(model, network, tmp_path / "new", about=proof)
    segmenter = load_segmenter(tmp_path / "new")
    assert segmenter.model_id == card["id"] != model_id(model)
    assert np.array_equal(segmenter.first_look.interest(frame), network.look().interest(frame))
    file = tmp_path / "new" / "first_look.safetensors"
    network.lower(1.0)
    save(network, file)
    network.lower(-1.0)
    with pytest.raises(InvalidInput, match="damaged"):
        load_segmenter(tmp_path / "new")
    file.unlink()
    with pytest.raises(InvalidInput, match="damaged"):
        load_segmenter(tmp_path / "new")


def test_made_ready_it_looks_first_in_the_runtime_that_was_chosen(settled, model, tmp_path, frame):
    with_first_look(model, settled[0], tmp_path / "new", about=settled[1])
    said = make_ready(tmp_path / "new", tmp_path / "ready", samples=[frame], runtimes=("torch", "openvino"))
    (tried,) = (one for one in said["tried"] if one["runtime"] == "openvino")
    assert tried["accepted"], tried["why"]
    assert tried["parity"]["largest_interest_difference"] < 1e-3
    own, other = load_segmenter(tmp_path / "new"), open_ready(tmp_path / "new", tmp_path / "ready", runtime="openvino")
    assert np.array_equal(own.first_look.cells(frame), other.first_look.cells(frame))


def test_too_few_defective_parts_are_refused_with_the_number_needed(model, large):
    with pytest.raises(InvalidInput, match=r"2 val parts show a defect.*78%.*29 such parts"):
        settle(model, open_dataset(large))


def test_a_first_look_that_spares_too_little_is_refused(model, scratches, monkeypatch):
    monkeypatch.setattr(first_look_proof, "LEAST_SAVED", 0.99)
    with pytest.raises(InvalidInput, match="less than 99%"):
        settle(model, open_dataset(scratches), most_lost=0.99, steps=1)


def test_what_other_parts_would_lose_is_counted_by_part_and_by_defect(frame):
    def judged(part, *found):
        sample = Sample(Path("x.png"), None, "test", part, view="", group=part)
        return first_look_proof._Judged(sample, found, np.empty(0, np.float32), np.empty((0, 0), np.uint8), 0)

    seen = [judged("A", 3.0, 1.0), judged("A", -1.0, -2.0), judged("B", 4.0), judged("C")]
    said = lost(seen, 0.0)
    assert (said["found_defects"], said["lost"]) == (5, 2)
    assert (said["parts_with_a_found_defect"], said["lost_parts"]) == (2, 1)
    assert said["lost_parts_at_most"] == pytest.approx(0.9747, abs=1e-4)


def test_the_bound_is_the_exact_binomial_one():
    assert bound(0, 29) == pytest.approx(0.0981, abs=1e-4)
    assert bound(29, 29) == 1.0


def test_a_damaged_first_look_is_refused(tmp_path):
    file = tmp_path / "first_look.safetensors"
    data = STARTER.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(InvalidInput, match="damaged"):
        load(file)
    save_file({"head.bias": torch.zeros(1)}, file, metadata={"first_look": '{"format": 2, "cell_px": 32}'})
    with pytest.raises(InvalidInput, match="damaged"):
        load(file)
    save_file({"head.bias": torch.zeros(1)}, file, metadata={"first_look": '{"format": 9}'})
    with pytest.raises(InvalidInput, match="format 9; make it again"):
        load(file)


def test_a_challenger_looks_first_where_its_champion_does(settled, model, large, tmp_path, monkeypatch):
    """Its own first look: from 29 val parts on, or from one where looking everywhere again would make the line wait."""
    monkeypatch.setattr(first_look_proof, "STEPS", 5)
    with_first_look(model, settled[0], tmp_path / "champion", about=settled[1])
    told = []

    def challenge(champion, out):
        def trained(_, folder, **__):
            shutil.copytree(model, folder)

        return train_challenger(large, champion, out, trainer=trained, report=lambda _, words: told.append(words))

    new = challenge(tmp_path / "champion", tmp_path / "new")
    assert read_card(new)["first_look"]["val"]["lost"] == 0
    assert model_id(new) not in (model_id(model), model_id(tmp_path / "champion"))
    assert told[-1].startswith("val: ")
    other = challenge(model, tmp_path / "other")
    assert model_id(other) == model_id(model)
    assert "looks everywhere: 2 val parts show a defect" in told[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["champion", "new", "other"]
