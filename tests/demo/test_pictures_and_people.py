"""The line's cameras, its truth, its operators, and the labeller's brush."""

import hashlib

import numpy as np
import pytest
from label_studio_sdk.converter import brush

from qc.errors import InvalidInput, NotFound
from qc.frame import decode
from segmentation.render import CLASSES
from server.demo.camera import STATIONS, shoot
from server.demo.config import DemoConfig
from server.demo.drawing import draw, read_tools, sloppy
from server.demo.labeller import whereabouts
from server.demo.operators import judge
from server.demo.truth import Truth

PROJECT = """<View><Image name="picture" value="$image"/>
<BrushLabels name="mask" toName="picture"><Label value="scratch"/><Label value="dent"/><Label value="pit"/>
</BrushLabels>
<Choices name="nothing" toName="picture"><Choice value="nothing here is a defect"/></Choices></View>"""


@pytest.fixture
def config(tmp_path):
    return DemoConfig(url="http://127.0.0.1:1", key="k", home=tmp_path, width=160, height=128)


def test_the_same_part_is_photographed_the_same_after_a_restart(config, tmp_path):
    one = shoot(config, 5, Truth(tmp_path / "a"))
    again = shoot(config, 5, Truth(tmp_path / "b"))
    assert one == again
    assert shoot(config, 8, Truth(tmp_path / "a")).pictures != one.pictures


def test_every_station_takes_its_turn_and_its_pictures_have_three_views(config, tmp_path):
    shots = [shoot(config, k, Truth(tmp_path / "t")) for k in range(len(STATIONS))]
    assert [s.station for s in shots] == [s.name for s in STATIONS]
    for shot in shots:
        assert list(shot.pictures) == ["left", "top", "right"]
        for data in shot.pictures.values():
            assert decode(data).shape == (128, 160)


def test_the_truth_is_kept_by_the_pictures_own_bytes(tmp_path):
    truth = Truth(tmp_path)
    mask = np.zeros((6, 9), np.uint8)
    mask[2, 3] = 2
    name = truth.keep(b"a picture", mask)
    assert name == hashlib.sha256(b"a picture").hexdigest()
    assert np.array_equal(Truth(tmp_path).mask(name), mask)
    with pytest.raises(NotFound):
        truth.mask("../../etc/passwd")


def test_what_is_drawn_comes_back_pixel_for_pixel():
    rng = np.random.default_rng(0)
    tools = read_tools(PROJECT)
    mask = np.zeros((57, 83), np.uint8)
    mask[10:12, 5:60] = 1
    mask[30:45, 30:50] = 2
    mask[rng.random(mask.shape) < 0.02] = 3
    back = np.zeros_like(mask)
    regions = draw(mask, CLASSES, tools)
    assert [r["value"]["brushlabels"] for r in regions] == [["scratch"], ["dent"], ["pit"]]
    for region in regions:
        assert (region["from_name"], region["to_name"]) == ("mask", "picture")
        assert (region["original_width"], region["original_height"]) == (83, 57)
        alpha = brush.decode_rle(region["value"]["rle"]).reshape(57, 83, 4)[..., 3]
        class_id = {name: i for i, name in CLASSES.items()}[region["value"]["brushlabels"][0]]
        back[alpha > 127] = class_id
    assert np.array_equal(back, mask)


def test_a_clean_crop_is_answered_with_the_choice_that_nothing_is_there():
    (answer,) = draw(np.zeros((8, 8), np.uint8), CLASSES, read_tools(PROJECT))
    assert answer["value"] == {"choices": ["nothing here is a defect"]}
    without = read_tools(PROJECT.split("<Choices")[0] + "</View>")
    assert draw(np.zeros((8, 8), np.uint8), CLASSES, without) == []


def test_a_project_without_a_brush_or_without_the_label_is_refused():
    with pytest.raises(InvalidInput):
        read_tools("<View><Image name='i' value='$image'/></View>")
    with pytest.raises(InvalidInput):
        read_tools("no xml")
    with pytest.raises(InvalidInput, match="crack"):
        draw(np.full((4, 4), 9, np.uint8), {9: "crack"}, read_tools(PROJECT))


def test_people_draw_a_little_unevenly_and_miss_a_few():
    mask = np.zeros((400, 400), np.uint8)
    for x in range(10, 390, 20):
        for y in range(10, 390, 20):
            mask[y : y + 8, x : x + 3] = 1
    drawn = sloppy(mask, np.random.default_rng(1))
    found = (drawn[14::20, 11::20] > 0).sum() / (mask[14::20, 11::20] > 0).sum()
    assert 0.9 < found < 1.0
    assert 1.0 < drawn.sum() / mask.sum() < 1.5
    assert sloppy(np.zeros_like(mask), np.random.default_rng(1)).max() == 0


def test_operators_correct_wrong_verdicts_and_leave_right_ones_mostly_alone():
    rng = np.random.default_rng(3)

    def words(verdict, defective):
        said = [judge(rng, verdict=verdict, defective=defective, defects=("pit",)) for _ in range(400)]
        return [None if w is None else w.verdict for w in said]

    assert words("ok", True).count("ng") > 200
    assert words("ok", False).count("ng") < 20
    assert words("ng", False).count("ok") > 250
    assert words("review", True).count("ng") > 300
    assert words("review", False).count("ok") > 300
    assert 20 < words("ng", True).count("ng") < 180


def test_a_task_says_which_picture_and_which_crop_of_it():
    assert whereabouts({"sha256": "ab", "crop": [1, 2, 3, 4]})[1].as_list() == [1, 2, 3, 4]
    assert whereabouts({"sha256": "ab", "crop": "[1, 2, 3, 4]"})[1].as_list() == [1, 2, 3, 4]
    assert whereabouts({"sha256": "ab"}) == ("ab", None)
    for wrong in ({}, {"sha256": 3}, {"sha256": "ab", "crop": [1]}, {"sha256": "ab", "crop": "x"}):
        with pytest.raises(InvalidInput):
            whereabouts(wrong)
