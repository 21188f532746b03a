"""The fastest runtime serves, and only if it says what the model says."""

import json
import threading

import numpy as np
import pytest

from qc.errors import Conflict, InvalidInput
from segmentation import ready as readying
from segmentation.model import load_segmenter, read_card
from segmentation.ready import make_ready, open_ready
from segmentation.samples import carried

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
