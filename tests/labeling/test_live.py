"""A click or a box on a defect gives its mask, also where the model only suspects it."""

import numpy as np
import pytest

from labeling.convert import from_results
from labeling.live import Hint, hints, outlined, proposals, region
from qc.errors import InvalidInput
from qc.ports import Segmentation

CLASSES = {1: "scratch", 2: "dent"}


def surface(*places, size=(120, 160), background=-6.0):
    """`(x, y, w, h, class id, log-odds)` on a calm surface."""
    odds, ids = np.full(size, background, np.float16), np.ones(size, np.uint8)
    for x, y, w, h, class_id, value in places:
        odds[y : y + h, x : x + w], ids[y : y + h, x : x + w] = value, class_id
    return Segmentation(odds, ids)


def box_of(where):
    rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    return int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def test_a_click_on_a_defect_gives_its_outline():
    seen = surface((40, 30, 50, 4, 1, 3.0), (40, 60, 9, 9, 2, 3.0))
    assert box_of(region(seen, Hint(60, 31), threshold=0.5)) == (40, 30, 50, 4)


def test_a_click_beside_a_thin_scratch_still_means_it():
    seen = surface((40, 30, 50, 2, 1, 3.0))
    assert box_of(region(seen, Hint(60, 37), threshold=0.5)) == (40, 30, 50, 2)


def test_a_defect_that_the_model_only_suspects_is_outlined_too():
    seen = surface((40, 30, 50, 4, 1, -3.0))
    assert box_of(region(seen, Hint(60, 31), threshold=0.5)) == (40, 30, 50, 4)


def test_a_click_on_a_calm_surface_gives_nothing():
    assert not region(surface(), Hint(60, 31), threshold=0.5).any()
    assert outlined(surface(), [Hint(60, 31, label="dent")], CLASSES, threshold=0.5) == []


def test_a_box_takes_all_defects_in_it_and_nothing_outside():
    seen = surface((40, 30, 10, 4, 1, 3.0), (60, 30, 10, 4, 1, 3.0), (110, 30, 10, 4, 1, 3.0))
    assert box_of(region(seen, Hint(35, 25, 40, 15), threshold=0.5)) == (40, 30, 30, 4)


def test_the_person_says_which_class_it_is_and_otherwise_the_model_does():
    seen = surface((40, 60, 9, 9, 2, 3.0))
    for hint, class_id in ((Hint(44, 64, label="scratch"), 1), (Hint(44, 64), 2)):
        results = outlined(seen, [hint], CLASSES, threshold=0.5)
        mask = from_results(results, CLASSES, height=120, width=160).mask
        assert set(np.unique(mask).tolist()) == {0, class_id}
        assert (mask > 0).sum() == 81


def test_proposals_are_the_models_defects_pixel_for_pixel_with_their_scores():
    seen = surface((40, 30, 50, 4, 1, 3.0), (40, 60, 9, 9, 2, 0.5), (100, 90, 5, 5, 1, -5.0))
    results = proposals(seen, CLASSES, threshold=0.5)
    mask = from_results(results, CLASSES, height=120, width=160).mask
    assert (mask == np.where(seen.log_odds > 0, seen.class_id, 0)).all()
    assert max(r["score"] for r in results) == pytest.approx(1 / (1 + np.exp(-3)), abs=1e-3)
    assert proposals(surface(), CLASSES, threshold=0.5) == []


def test_label_studios_hundredths_become_pixels():
    click = {"type": "keypointlabels", "value": {"x": 50, "y": 25, "width": 0.3, "keypointlabels": ["dent"]}}
    box = {
        "type": "rectanglelabels",
        "value": {"x": 10, "y": 20, "width": 30, "height": 40, "rectanglelabels": ["dent"]},
    }
    other = {"type": "brushlabels", "value": {"rle": []}}
    found = hints({"result": [click, box, other]}, width=200, height=100)
    assert found == [Hint(100, 25, 0, 0, "dent"), Hint(20, 20, 60, 40, "dent")]
    assert hints(None, width=10, height=10) == []


@pytest.mark.parametrize("value", [{"x": "a", "y": 1}, {"x": float("nan"), "y": 1}, {"y": 1}])
def test_a_malformed_place_is_refused(value):
    with pytest.raises(InvalidInput, match="click or box"):
        hints({"result": [{"type": "keypointlabels", "value": value}]}, width=10, height=10)


def test_a_place_outside_the_picture_is_refused():
    with pytest.raises(InvalidInput, match="outside"):
        region(surface(), Hint(500, 3), threshold=0.5)


def test_a_click_that_the_page_left_behind_is_no_drawing():
    left = {
        "id": "k",
        "type": "keypointlabels",
        "from_name": "click",
        "value": {"x": 1, "y": 1, "keypointlabels": ["dent"]},
    }
    assert not from_results([left], CLASSES, height=20, width=20).mask.any()
