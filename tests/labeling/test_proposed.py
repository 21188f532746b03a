"""What a label task begins with: exact to the pixel, and few brush strokes, because those make the page slow."""

import cv2
import numpy as np
import pytest

from labeling.convert import from_results
from labeling.proposed import MOST_PROPOSED, MOST_STROKES, proposals
from qc.records import Exposure

CLASSES = {1: "scratch", 2: "dent"}


def seen(count, *, ragged=0, side=900, seed=0):
    """A crop with so many blemishes on a grid, some of them rings: an exposure and its instances."""
    rng = np.random.default_rng(seed)
    instances, defects = np.zeros((side, side), np.uint16), []
    for k in range(1, count + 1):
        y, x = 50 + 100 * ((k - 1) // 8), 50 + 100 * ((k - 1) % 8)
        axes = int(rng.integers(3, 30)), int(rng.integers(3, 14))
        cv2.ellipse(instances, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, k, -1)
        if k <= ragged:
            instances[y, x] = 0
        name = CLASSES[1 + k % 2]
        defects.append({"class": name, "score": round(float(rng.uniform(0.3, 1)), 3), "counts": True})
    return Exposure(inspection_id="i", n=0, width=side, height=side, format="PNG", defects=defects), instances


def truth(exposure, instances):
    ids = {name: class_id for class_id, name in CLASSES.items()}
    return np.array([0, *(ids[d["class"]] for d in exposure.defects)], np.uint8)[instances]


def kinds(results):
    return [r["type"] for r in results]


@pytest.mark.parametrize(("count", "ragged"), [(1, 0), (4, 1), (5, 0), (30, 0), (30, 12), (60, 10)])
def test_what_the_page_begins_with_is_exact_and_has_few_brush_strokes(count, ragged):
    exposure, instances = seen(count, ragged=ragged)
    *_, begins = proposals(exposure, instances, CLASSES)
    drawn = from_results(begins, CLASSES, height=900, width=900)
    assert (drawn.mask == truth(exposure, instances)).all()
    assert kinds(begins).count("brushlabels") <= MOST_STROKES + len(CLASSES)
    assert len(begins) >= min(count, MOST_PROPOSED) - ragged


def test_one_tab_further_all_are_brush_strokes_and_then_polygons_of_few_corners():
    exposure, instances = seen(30)
    polygons, strokes, begins = proposals(exposure, instances, CLASSES)
    assert set(kinds(strokes)) == {"brushlabels"}
    assert (from_results(strokes, CLASSES, height=900, width=900).mask == truth(exposure, instances)).all()
    assert set(kinds(polygons)) == {"polygonlabels"}
    corners = [sum(len(r["value"].get("points", ())) for r in way) / len(way) for way in (polygons, begins)]
    assert corners[0] < corners[1]


def test_where_there_are_many_the_page_begins_with_polygons_but_for_what_none_can_hold():
    exposure, instances = seen(20)
    *_, begins = proposals(exposure, instances, CLASSES)
    assert set(kinds(begins)) == {"polygonlabels"}
    exposure, instances = seen(20, ragged=5)
    *_, begins = proposals(exposure, instances, CLASSES)
    strokes = [r for r in begins if r["type"] == "brushlabels"]
    painted = from_results(strokes, CLASSES, height=900, width=900).mask > 0
    assert set(np.unique(instances[painted])) == {1, 2, 3, 4, 5}


def test_ways_that_would_be_the_same_are_given_once_and_nothing_seen_is_an_empty_proposal():
    exposure, instances = seen(2)
    assert [set(kinds(way)) for way in proposals(exposure, instances, CLASSES)] == [{"polygonlabels"}, {"brushlabels"}]
    assert proposals(exposure, np.zeros_like(instances), CLASSES) == [[]]
    assert proposals(exposure, None, CLASSES) == [[]]
    assert proposals(exposure, instances, {9: "another"}) == [[]]
