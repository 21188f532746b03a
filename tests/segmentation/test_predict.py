"""`qc predict`: the contract's files, whatever else goes wrong."""

import json
import shutil

import cv2
import numpy as np
import pytest

from qc.errors import InvalidInput, NotFound
from qc.ports import Segmentation
from segmentation.model import load_segmenter
from segmentation.predict import predict, score_picture


@pytest.fixture(scope="module")
def segmenter(model):
    return load_segmenter(model)


def test_an_image_becomes_a_mask_and_a_list_of_defects(segmenter, scratches, tmp_path):
    outcome = predict(segmenter, [scratches / "images"], tmp_path / "out", scores=True, mm_per_px=0.05)
    assert outcome.problems == ()
    assert outcome.done == 24
    said = json.loads((tmp_path / "out" / "p10_left.json").read_text())
    assert said.keys() == {"image", "width", "height", "model", "verdict", "score", "defects"}
    assert (said["image"], said["width"], said["height"]) == ("p10_left.png", 200, 160)
    assert said["model"] == segmenter.model_id
    assert said["verdict"] == "ng"
    first = said["defects"][0]
    assert first["class"] == "scratch"
    assert first["length_mm"] == pytest.approx(first["length_px"] * 0.05, abs=1e-3)
    mask = cv2.imread(str(tmp_path / "out" / "p10_left.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (160, 200)
    assert set(np.unique(mask)) == {0, 1}
    score = cv2.imread(str(tmp_path / "out" / "p10_left.score.png"), cv2.IMREAD_UNCHANGED)
    assert score.max() == round(255 * said["score"])
    assert np.array_equal(mask > 0, score >= np.floor(255 * segmenter.threshold)) or (mask[score > 250] > 0).all()


def test_a_bad_image_is_named_and_the_others_are_done(segmenter, scratches, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(scratches / "images" / "p00_left.png", folder / "good.png")
    (folder / "bad.jpg").write_bytes((scratches / "images" / "p00_left.png").read_bytes()[:500])
    (folder / "empty.png").write_bytes(b"")
    outcome = predict(segmenter, [folder], tmp_path / "out")
    assert outcome.done == 1
    assert [p.split(":")[0].rsplit("/")[-1] for p in outcome.problems] == ["bad.jpg", "empty.png"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["good.json", "good.png"]


def test_two_images_that_would_share_a_result_are_refused(segmenter, tmp_path):
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InvalidInput, match=r"a\.png"):
        predict(segmenter, [tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_path_that_is_not_there_is_named(segmenter, tmp_path):
    with pytest.raises(NotFound, match="nowhere"):
        predict(segmenter, [tmp_path / "nowhere"], tmp_path / "out")


def test_the_score_picture_is_255_times_the_probability():
    log_odds = np.array([[-np.inf, -30000, 0, 30000, np.inf, -2.2]], np.float16)
    picture = score_picture(Segmentation(log_odds, np.ones(log_odds.shape, np.uint8)))
    assert picture.tolist() == [[0, 0, 128, 255, 255, 25]]
