"""Which crops a person is asked about."""

import numpy as np
import pytest
from sqlmodel import select

from labeling.records import LabelTask
from labeling.tasks import CONTEXT_PX, LARGEST_PX, MOST, SEARCH_PX, SMALLEST_PX, cover, crops, next_task
from qc.errors import InvalidInput
from qc.geometry import Box
from qc.verdict import Verdict


def defect(x, y, w, h, score=0.6, outline=()):
    return {"bbox": [x, y, w, h], "score": score, "counts": score >= 0.5, "outline": outline}


def test_a_small_blemish_is_shown_in_the_middle_of_its_surroundings():
    (crop,) = crops(4000, 3000, [defect(2000, 1500, 10, 6)])
    assert crop.as_list() == [2005 - SMALLEST_PX // 2, 1503 - SMALLEST_PX // 2, SMALLEST_PX, SMALLEST_PX]


def test_a_crop_stays_inside_the_frame():
    for x, y in ((0, 0), (3990, 0), (0, 2994), (3990, 2994)):
        (crop,) = crops(4000, 3000, [defect(x, y, 10, 6)])
        assert (crop.width, crop.height) == (SMALLEST_PX, SMALLEST_PX)
        assert min(crop.x, crop.y) >= 0
        assert (crop.right <= 4000, crop.bottom <= 3000) == (True, True)


def test_a_frame_smaller_than_a_crop_is_shown_whole():
    (crop,) = crops(200, 90, [defect(3, 3, 4, 4)])
    assert crop.as_list() == [0, 0, 200, 90]


def test_blemishes_that_lie_close_share_a_crop_and_distant_ones_do_not():
    near = [defect(1000, 1000, 10, 10), defect(1300, 1200, 10, 10, 0.4)]
    assert len(crops(4000, 3000, near)) == 1
    assert len(crops(4000, 3000, [*near, defect(3000, 2500, 10, 10)])) == 2


def test_every_doubt_lies_in_a_crop_and_no_crop_is_too_large():
    rng = np.random.default_rng(3)
    for _ in range(30):
        many = [defect(*map(int, rng.integers(0, 2900, 2)), *map(int, rng.integers(1, 90, 2)), 0.3) for _ in range(12)]
        found = crops(3000, 3000, many)
        for d in many:
            x, y, w, h = d["bbox"]
            assert any(c.x <= x and c.y <= y and x + w <= c.right and y + h <= c.bottom for c in found)
        assert all(c.width <= LARGEST_PX and c.height <= LARGEST_PX for c in found)


def test_a_scratch_across_the_whole_frame_is_covered_along_its_way_only():
    ring = [[k, k] for k in range(0, 4001, 400)]
    found = crops(4096, 4096, [defect(0, 0, 4001, 4001, outline=[ring + ring[::-1]])])
    seen = np.zeros((4096, 4096), bool)
    for c in found:
        assert max(c.width, c.height) <= LARGEST_PX
        seen[c.y : c.bottom, c.x : c.right] = True
    assert all(seen[k, k] for k in range(4001))
    assert not seen[200, 3800]


def test_faint_blemishes_are_shown_only_where_nothing_surer_is():
    faint = [defect(100, 100, 9, 9, 0.06), defect(3000, 100, 9, 9, 0.07)]
    assert len(crops(4000, 3000, faint)) == 2
    assert len(crops(4000, 3000, [*faint, defect(1500, 2500, 9, 9, 0.3)])) == 1


def test_windows_cover_a_frame_once_each():
    seen = np.zeros((3001, 4097), np.uint8)
    for c in cover(4097, 3001, largest=SEARCH_PX):
        assert max(c.width, c.height) <= SEARCH_PX
        seen[c.y : c.bottom, c.x : c.right] += 1
    assert (seen == 1).all()


def test_asking_twice_gives_the_same_tasks_and_the_higher_urgency(line):
    inspection = line.inspects(frame=(2000, 3000), boxes=[(100, 100, 20, 20, 1, 0.3), (2500, 1500, 20, 20, 2, 0.6)])
    first = line.asks(inspection, urgency=0.4)
    again = line.asks(inspection, reason="overruled", urgency=0.9)
    assert [t.id for t in first] == [t.id for t in again]
    assert {(t.urgency, t.reason) for t in again} == {(0.9, "overruled")}
    assert len(line.session.exec(select(LabelTask)).all()) == 2


def test_what_the_model_missed_is_searched_for_on_the_whole_frame(line):
    passed = line.inspects(frame=(3000, 4000), verdict=Verdict.OK, boxes=[(5, 5, 4, 4, 1, 0.1)])
    found = line.asks(passed, reason="overruled")
    assert sum(t.crop_width * t.crop_height for t in found) == 3000 * 4000
    assert {t.grounds["shown"]["area"] for t in found} == {1.0}


def test_two_hundred_blemishes_on_a_large_frame_are_all_on_tasks_and_the_tasks_say_so(line):
    inspection = line.inspects(frame=(3000, 4000), boxes=[(5, 5, 4, 4, 1, 0.6)])
    scatter(line, inspection, 200, side=(4000, 3000))
    found = line.asks(inspection)
    assert 8 < len(found) <= MOST
    assert on_tasks(line, inspection, found) == 200
    assert {(t.grounds["shown"]["defects"], t.grounds["shown"]["of"]) for t in found} == {(200, 200)}


def test_where_blemishes_are_left_out_the_tasks_say_how_many(line):
    inspection = line.inspects(boxes=[(5, 5, 4, 4, 1, 0.6)])
    scatter(line, inspection, 300, side=(12000, 12000))
    found = line.asks(inspection)
    assert len(found) == MOST
    shown = {(t.grounds["shown"]["defects"], t.grounds["shown"]["of"]) for t in found}
    assert shown == {(on_tasks(line, inspection, found), 300)}
    assert on_tasks(line, inspection, found) < 300


def test_a_search_that_stays_short_of_the_whole_part_says_how_far_it_goes(line):
    passed = line.inspects(verdict=Verdict.OK, views=("left", "right"))
    for exposure in line.exposures(passed):
        exposure.width = exposure.height = 6 * SEARCH_PX
    found = line.asks(passed, reason="overruled")
    assert (len(found), {t.n for t in found}) == (MOST, {0, 1})
    assert {t.grounds["shown"]["area"] for t in found} == {round(MOST / 72, 3)}


def scatter(line, inspection, count, *, side):
    """The model finds so many small blemishes all over a frame of `side`, width and height."""
    (exposure,) = line.exposures(inspection)
    rng = np.random.default_rng(5)
    exposure.width, exposure.height = side
    places = zip(rng.integers(0, side[0] - 40, count), rng.integers(0, side[1] - 40, count), strict=True)
    exposure.defects = [{"class": "scratch", **defect(int(x), int(y), 30, 12, 0.4)} for x, y in places]
    line.session.commit()


def on_tasks(line, inspection, tasks):
    """How many of the blemishes lie whole on one of these crops."""
    boxes = [Box(*d["bbox"]) for d in line.exposures(inspection)[0].defects]
    return sum(any(t.crop.around(box) == t.crop for t in tasks) for box in boxes)


def test_the_part_a_person_disagreed_about_is_labelled_first(line):
    line.asks(line.inspects(part="doubtful", boxes=[(50, 50, 9, 9, 1, 0.4)]), urgency=0.4)
    overruled = line.inspects(part="overruled", verdict=Verdict.OK)
    line.asks(overruled, reason="overruled", urgency=1.0)
    assert next_task(line.session).inspection_id == overruled.id


def test_an_urgency_outside_its_range_is_refused(line):
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        line.asks(line.inspects(), urgency=1.5)


def test_a_crop_shows_the_blemish_with_context(line):
    (task,) = line.asks(line.inspects(frame=(3000, 3000), boxes=[(1000, 1000, 700, 20, 1, 0.6)]))
    assert task.crop_width == 700 + 2 * CONTEXT_PX
