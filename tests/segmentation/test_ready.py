"""The fastest runtime serves, and only if it says what the model says."""

import json
import shutil
import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest

from qc.dataset import open_dataset
from qc.defects import logit
from qc.errors import Conflict, InvalidInput
from segmentation import ready as readying
from segmentation.model import load_network, load_segmenter, read_card
from segmentation.ready import MOST_WINDOWS, make_ready, open_ready, telling_windows
from segmentation.runtimes import open_look, write
from segmentation.samples import carried, found_again
from segmentation.segmenter import from_card
from segmentation.tiled import window_inside

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("ready") / "here"
    return out, make_ready(model, out, runtimes=("torch", "openvino", "openvino-int8"))


def test_a_model_made_ready_gives_the_models_answers(model, made):
    out, said = made
    ours, theirs = load_segmenter(model), open_ready(model, out)
    assert theirs.runtime == said["runtime"]
    assert theirs.model_id == ours.model_id == said["model"]
    assert (theirs.threshold, theirs.classes, theirs.calibration) == (ours.threshold, ours.classes, ours.calibration)
    frame = np.random.default_rng(3).integers(0, 256, (301, 517), np.uint8)
    a, b = ours.segment(frame), theirs.segment(frame)
    assert np.abs(a.log_odds.astype(np.float32) - b.log_odds).max() < 0.02


def test_a_runtime_that_rounds_is_not_believed_on_a_few_frames(made):
    _, said = made
    (rounding,) = [t for t in said["tried"] if t["runtime"] == "openvino-int8"]
    assert not rounding["accepted"]
    assert "too few" in rounding["why"]


def test_a_runtime_that_was_not_chosen_computes_if_it_was_accepted_and_only_then(model, made):
    assert open_ready(model, made[0], runtime="openvino").runtime == "openvino"
    assert open_ready(model, made[0], runtime="torch").runtime == "torch"
    for refused, why in (("openvino-int8", "too few"), ("onnx", "not tried")):
        with pytest.raises(InvalidInput, match=f"{refused} may not compute this model here: .*{why}"):
            open_ready(model, made[0], runtime=refused)


def test_a_runtime_that_changes_a_verdict_is_refused_however_fast_it_is(model, tmp_path, monkeypatch):
    real = readying.open_look

    def wrong(name, folder, *, threads):
        look = real(name, folder, threads=threads)
        return lambda window: (look(window)[0] + 40, look(window)[1])

    monkeypatch.setattr(readying, "open_look", wrong)
    said = make_ready(model, tmp_path / "out", runtimes=("torch", "openvino"))
    assert said["runtime"] == "torch"
    assert "differ" in said["tried"][1]["why"]


def test_eight_bit_arithmetic_serves_after_enough_frames_or_says_why_not(model, tmp_path):
    frames = [picture[:160, :160] for picture in carried(model)]
    said = make_ready(model, tmp_path / "out", samples=frames * 13, runtimes=("openvino-int8",))
    tried = said["tried"][1]
    assert tried["accepted"] == (tried["parity"]["verdicts_that_differ"] == 0)


def test_eight_bit_ranges_are_read_where_somebody_drew_a_defect(scratches):
    found = open_dataset(scratches).split("val")
    drawn = [s for s in found if cv2.imread(str(s.mask), cv2.IMREAD_UNCHANGED).any()]
    clean = [s for s in found if s not in drawn]
    windows = telling_windows([*clean * 40, *drawn], 32)
    assert len(windows) == min(MOST_WINDOWS, 40 * len(clean) + len(drawn))
    rows, columns = np.nonzero(cv2.imread(str(drawn[0].mask), cv2.IMREAD_UNCHANGED))
    middle = int(rows[len(rows) // 2]), int(columns[len(rows) // 2])
    shape = drawn[0].pixels().shape
    window = window_inside(shape, 64, 32, middle)
    assert window.y <= middle[0] < window.bottom
    assert window.x <= middle[1] < window.right
    assert (window.x >= 0, window.y >= 0, window.right <= shape[1], window.bottom <= shape[0]) == (True,) * 4
    with pytest.raises(InvalidInput, match=r"lost\.png"):
        telling_windows([replace(drawn[0], mask=drawn[0].mask.with_name("lost.png"))], 32)


def test_eight_bit_arithmetic_says_of_a_defect_what_the_model_says(model, scratches, tmp_path):
    """Ranges averaged over pictures, of which few show a defect, once cut off what it says of them."""
    card, network = load_network(model)
    frames = open_dataset(scratches).split("val")
    write("openvino-int8", network, load_segmenter(model).stride, tmp_path, telling_windows(frames, 32))
    theirs = from_card(card, open_look("openvino-int8", tmp_path), runtime="openvino-int8")
    ours = load_segmenter(model)
    at_defects = []
    for frame in frames:
        a, b = (eyes.segment(frame.pixels()).log_odds.astype(np.float32) for eyes in (ours, theirs))
        at_defects += [*(a - b)[a > logit(ours.threshold)]]
    assert len(at_defects) > 100
    assert np.sqrt(np.mean(np.square(at_defects))) < 0.5


def test_8_bit_ranges_are_read_from_what_was_learnt_and_not_from_what_proves_them(
    model, scratches, tmp_path, monkeypatch
):
    seen = []

    def stop_at(name, network, stride, folder, windows, **how):
        seen.extend(windows)
        raise InvalidInput("seen enough")

    monkeypatch.setattr(readying, "write", stop_at)
    black = [np.zeros((128, 128), np.uint8)] * readying.FRAMES_FOR_ROUNDING
    learnt = open_dataset(scratches).split("train")
    with pytest.raises(InvalidInput, match="seen enough"):
        make_ready(model, tmp_path / "ready", samples=black, learnt=learnt, runtimes=("openvino-int8",))
    assert len(seen) == len(learnt)
    assert all(window.any() for window in seen)


def test_the_images_a_model_was_judged_on_are_found_again(model, scratches, tmp_path):
    card = read_card(model)
    copy = tmp_path / "copy"
    shutil.copytree(scratches, copy)
    found = found_again(card, [tmp_path / "gone", copy])
    assert {s.image.name for s in found} == set(card["dataset"]["val_files"])
    assert len(found_again(card, [copy], most=2)) == 2
    assert {s.image.name for s in found_again(card, [copy], learnt=True)} == set(card["dataset"]["train_files"])
    altered = found[0].image
    cv2.imwrite(str(altered), np.zeros((64, 64), np.uint8))
    assert altered.name not in {s.image.name for s in found_again(card, [copy])}
    assert found_again({}, [copy]) == []


def test_several_threads_may_look_at_once(model, made):
    segmenter = open_ready(model, made[0], threads=1)
    frames = np.random.default_rng(4).integers(0, 256, (6, 160, 160), np.uint8)
    alone = [segmenter.segment(frame).log_odds for frame in frames]
    together = [None] * len(frames)

    def look(place):
        together[place] = segmenter.segment(frames[place]).log_odds

    threads = [threading.Thread(target=look, args=(place,)) for place in range(len(frames))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_what_was_made_for_another_model_or_machine_is_refused(model, made, tmp_path):
    card = read_card(model)
    for change in ({"model": "sha256:0"}, {"machine": "another"}):
        other = tmp_path / next(iter(change))
        other.mkdir()
        (other / "ready.json").write_text(json.dumps({"model": card["id"], "runtime": "openvino", **change}))
        with pytest.raises(InvalidInput, match="another"):
            open_ready(model, other)


def test_a_folder_with_something_else_in_it_is_left_alone(model, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(Conflict, match="something else"):
        make_ready(model, tmp_path)
    with pytest.raises(InvalidInput, match="tpu"):
        make_ready(model, tmp_path / "new", runtimes=("tpu",))
