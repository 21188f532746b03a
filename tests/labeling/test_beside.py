"""The part's other views beside the crop: the same place where it is known, else the whole view."""

from datetime import timedelta

import cv2
import numpy as np
import pytest

from labeling.beside import CAPTION_PX, SAME_PLACE_PX, WHOLE_PX, Cell, cells, same_place, sheet, shrunk
from labeling.places import RENEWED, TRIES, Places
from labeling.push import Pictures, learn_places, png, push_open_tasks
from labeling.records import TaskState
from qc.frame import decode
from qc.geometry import Box
from qc.records import Exposure, Inspection

SHIFT = np.array([[1, 0, 14], [0, 1, -9], [0, 0, 1.0]])
SCRATCH = (300, 200, 60, 3, 1, 0.4)


def brushed(height=520, width=640, seed=0):
    """Metal with enough on it to be registered by."""
    rng = np.random.default_rng(seed)
    pixels = cv2.GaussianBlur(rng.normal(128, 60, (height, width)).astype(np.float32), (0, 0), 2.0)
    pixels = 128 + 3 * (pixels - 128)
    for _ in range(30):
        x, y = (int(v) for v in rng.integers(0, (width, height)))
        cv2.circle(pixels, (x, y), int(rng.integers(8, 40)), float(rng.integers(40, 220)), 2)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def exposure(n, view, width=640, height=520):
    return Exposure(inspection_id="i", n=n, view=view, width=width, height=height, format="PNG")


def test_the_same_place_in_another_view_is_where_the_homography_lays_it_with_a_margin():
    place = same_place(Box(100, 80, 50, 40), SHIFT, spread_px=2.0, width=640, height=520)
    assert place.as_list() == [114 - 20, 71 - 20, 50 + 40, 40 + 40]


def test_a_place_that_the_other_view_does_not_show_is_not_invented():
    assert same_place(Box(600, 10, 40, 40), 40 * SHIFT, spread_px=1.0, width=640, height=520) is not None
    away = np.array([[1, 0, 900], [0, 1, 0], [0, 0, 1.0]])
    assert same_place(Box(100, 80, 50, 40), away, spread_px=1.0, width=640, height=520) is None


def test_a_station_learns_once_where_its_views_lie_and_uses_it_both_ways(line):
    left, right = exposure(0, "left"), exposure(1, "right")
    picture = brushed()
    moved = cv2.warpPerspective(picture, SHIFT, (640, 520), borderMode=cv2.BORDER_REFLECT)
    places = Places(line.blobs, "st-1")
    assert places.unknown([right, left], line.now) == [(left, right)]
    assert places.learn(left, right, (picture, moved), line.now)

    again = Places(line.blobs, "st-1")
    assert again.unknown([left, right], line.now) == []
    assert len(again.unknown([left, right], line.now + RENEWED + timedelta(hours=1))) == 1
    forth, spread_px = again.between(left, right)
    assert forth == pytest.approx(SHIFT, abs=0.5)
    assert spread_px < 4
    back, _ = again.between(right, left)
    assert back @ forth == pytest.approx(np.eye(3), abs=1e-6)
    assert again.between(left, exposure(1, "right", width=700)) is None, "another size is another view"
    assert Places(line.blobs, "st-2").between(left, right) is None


def test_views_that_have_nothing_in_common_are_tried_on_a_few_parts_and_what_is_known_stays(line):
    one, two = exposure(0, "a"), exposure(1, "b")
    places = Places(line.blobs, "st-1")
    for k in range(TRIES):
        assert places.unknown([one, two], line.now) == [(one, two)]
        assert not places.learn(one, two, (brushed(200, 240, seed=2 * k), brushed(200, 240, seed=2 * k + 1)), line.now)
    assert places.unknown([one, two], line.now) == []
    picture = brushed()
    assert places.learn(one, two, (picture, picture), line.now)
    flat = np.full((200, 240), 90, np.uint8)
    places.learn(one, two, (flat, flat), line.now)
    assert places.between(one, two) is not None


class Given:
    """Pictures of exposures, by their number."""

    def __init__(self, *pictures):
        self.pictures = pictures

    def frame(self, exposure):
        return self.pictures[exposure.n]

    def small(self, exposure):
        return shrunk(self.frame(exposure))


def test_beside_a_crop_stand_its_own_view_with_a_mark_and_the_others(line):
    picture = brushed()
    left, right, odd = exposure(0, "left"), exposure(1, "right"), exposure(2, "", 1300, 900)
    places = Places(line.blobs, "st-1")
    places.learn(left, right, (picture, picture), line.now)
    whole = np.zeros((900, 1300, 3), np.uint8)
    found = cells(Box(100, 80, 300, 200), left, [right, odd], Given(picture, picture, whole), places)
    assert [c.caption for c in found] == ["left, whole", "right, the same place", "picture 3, whole"]
    own, same, other = (c.picture for c in found)
    assert (max(own.shape), max(other.shape)) == (WHOLE_PX, WHOLE_PX)
    assert (own[..., 0] != own[..., 2]).any(), "the mark is in colour"
    matrix, spread_px = places.between(left, right)
    place = same_place(Box(100, 80, 300, 200), matrix, spread_px=spread_px, width=640, height=520)
    assert (same[..., 1] == picture[place.y : place.bottom, place.x : place.right]).all(), "at native resolution"
    assert max(same.shape) <= SAME_PLACE_PX
    (alone,) = cells(Box(0, 0, 640, 520), left, [], Given(picture), None)
    assert alone.caption == "left, whole", "Label Studio's page stays empty for a task without a picture beside"


def test_the_sheet_holds_every_view_once_under_its_name():
    grey = [Cell(f"view {k}", np.full((100, 120 - k, 3), 50 + 20 * k, np.uint8)) for k in range(5)]
    pixels = decode(sheet(grey))
    assert pixels.shape == (3 * (CAPTION_PX + 100), 240, 3)
    for k in range(5):
        y, x = (k // 2) * (CAPTION_PX + 100) + CAPTION_PX + 50, (k % 2) * 120 + 40
        assert abs(int(pixels[y, x, 0]) - (50 + 20 * k)) < 4
    assert decode(sheet(grey[:3])).shape == (3 * (CAPTION_PX + 100), 120, 3)


@pytest.mark.studio
def test_in_label_studio_a_task_shows_the_other_views_and_comes_home_in_the_crops_coordinates(line, studio):
    inspection = line.inspects(boxes=[SCRATCH], views=("left", "right", "top"), frame=(800, 1000))
    tasks = line.asks(inspection)
    picture = brushed(800, 1000)
    for n, seen in enumerate(line.exposures(inspection)[:2]):
        laid = picture if n == 0 else cv2.warpPerspective(picture, SHIFT, (1000, 800), borderMode=cv2.BORDER_REFLECT)
        line.blobs.put(seen.original_key, png(laid))
    report = push_open_tasks(line.session, studio, line.blobs, line.now)
    assert (report.created, report.failed, [t.problem for t in tasks]) == (3, 0, [None] * 3)
    assert learn_places(line.session, line.blobs, line.now) == 3
    left, right, _ = line.exposures(inspection)
    assert Places(line.blobs, "st-1").between(left, right) is not None

    later = line.asks(line.inspects(boxes=[SCRATCH], views=("left", "right", "top"), frame=(800, 1000), part="P-2"))
    (crop_of_left,) = [t for t in later if t.n == 0]
    assert push_open_tasks(line.session, studio, line.blobs, line.now).created == 3
    assert {t.state for t in [*tasks, *later]} == {TaskState.PUSHED}
    data = studio.task(crop_of_left.studio_task_id)["data"]
    (address,) = data["beside"]
    pixels = decode(studio.fetch(address))
    whole = CAPTION_PX + WHOLE_PX * 800 // 1000
    place = pixels.shape[0] - 2 * whole - CAPTION_PX  # left whole, right at the same place, top whole
    assert crop_of_left.crop_height < place <= crop_of_left.crop_height + 60
    shown = decode(studio.fetch(data["image"]))
    assert (shown == Pictures(line.blobs).crop(line.exposures(_of(line, crop_of_left))[0], crop_of_left.crop)).all()
    assert data["crop"] == crop_of_left.crop.as_list()


def _of(line, task):
    return line.session.get(Inspection, task.inspection_id)
