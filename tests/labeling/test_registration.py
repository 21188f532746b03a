"""Pictures of one part are laid on each other although light changes them; those of unrelated parts are refused."""

import cv2
import numpy as np
import pytest
import yaml

from labeling.align import grey, moved
from labeling.fiducials import FAMILY, by_markers
from labeling.registration import Refusal, Registration, Way, register
from qc.errors import InvalidInput
from qc.given import read_given

SIDE = 640
TURN = np.array([[0.9998, -0.012, 14.0], [0.012, 0.9998, -9.0], [0, 0, 1.0]])
CORNERS = np.array([[60.0, 60.0], [580.0, 60.0], [60.0, 580.0], [580.0, 580.0]])


def metal(seed, *, lamp, turn=None, plate=False):
    """A rough surface with a hole, lit from one side: what is bright from the left is dark from the right."""
    random = np.random.default_rng(seed)
    fine, coarse = (cv2.GaussianBlur(random.standard_normal((SIDE, SIDE)), (0, 0), s) for s in (1.5, 4.0))
    height = fine / fine.std() + 3.0 * coarse / coarse.std()
    cv2.circle(height, (400, 250), 60, -40.0, -1, cv2.LINE_AA)
    height = cv2.GaussianBlur(height, (0, 0), 1.2)
    grey = 128 + 14 * lamp * cv2.Sobel(height, cv2.CV_64F, 1, 0) / 8
    if plate:  # a whole part before a dark background
        shape = np.zeros((SIDE, SIDE), np.uint8)
        cv2.rectangle(shape, (120, 220), (520, 420), 1, -1)
        grey = np.where(shape > 0, grey, 10)
    if turn is not None:
        grey = cv2.warpPerspective(grey, turn, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    return np.clip(grey + np.random.default_rng(seed + 9).normal(0, 2, grey.shape), 0, 255).astype(np.uint8)


def off(found, truth):
    return float(np.hypot(*(moved(CORNERS, found) - moved(CORNERS, truth)).T).max())


@pytest.fixture(scope="module")
def pair():
    return register(metal(1, lamp=1), metal(1, lamp=-1, turn=TURN))


def test_two_views_lit_from_opposite_sides_are_registered_to_a_pixel(pair):
    assert isinstance(pair, Registration)
    assert off(pair.matrix, TURN) < 1.0
    assert pair.quality.agree > 0.9
    assert pair.quality.chance < 1e-3
    assert 0.9 < pair.quality.overlap <= 1.0


def test_the_way_back_undoes_the_way_there(pair):
    there_and_back = moved(moved(CORNERS, pair.matrix), pair.back.matrix)
    assert np.allclose(there_and_back, CORNERS)
    assert np.allclose(moved(CORNERS, pair.then(pair.back).matrix), CORNERS)
    assert pair.then(pair.back).way is Way.THROUGH


def test_pictures_of_unrelated_parts_are_refused():
    answer = register(metal(1, lamp=1)[:, :300], metal(2, lamp=1)[:, 320:])
    assert isinstance(answer, Refusal)


def test_pictures_without_anything_on_them_are_refused():
    blank = np.full((SIDE, SIDE), 90, np.uint8)
    assert isinstance(register(blank, blank), Refusal)


def test_pictures_too_small_to_be_checked_are_refused():
    small = metal(1, lamp=1)[:200, :200]
    answer = register(small, small)
    assert isinstance(answer, Refusal)
    assert "too small" in answer.why


def test_a_part_that_lies_turned_by_a_third_of_a_circle_is_found_by_features_or_its_contour():
    turn = np.vstack([cv2.getRotationMatrix2D((320, 320), 120, 1.0), [0, 0, 1]])
    answer = register(metal(3, lamp=1, plate=True), metal(3, lamp=1, plate=True, turn=turn))
    assert isinstance(answer, Registration)
    assert answer.way in (Way.FEATURES, Way.CONTOUR)
    inner = np.array([[200.0, 260.0], [440.0, 260.0], [320.0, 380.0]])
    assert np.hypot(*(moved(inner, answer.matrix) - moved(inner, turn)).T).max() < 2.0


def test_a_given_homography_is_kept_and_checked():
    answer = register(metal(1, lamp=1), metal(1, lamp=-1, turn=TURN), given=TURN, spread_px=1.5)
    assert (answer.way, answer.spread_px) == (Way.GIVEN, 1.5)
    assert np.array_equal(answer.matrix, TURN)
    assert answer.quality.agree > 0.9


def test_a_given_homography_that_the_pictures_contradict_shows_in_its_quality():
    wrong = np.array([[1, 0, -60.0], [0, 1, 45.0], [0, 0, 1.0]])
    answer = register(metal(1, lamp=1), metal(1, lamp=-1, turn=TURN), given=wrong)
    assert answer.quality.agree < 0.3
    assert answer.quality.chance > 1e-3


def tagged(picture, places, *, side=64, turn=None):
    """The picture with tags laid on it: number to the left upper corner (x, y); then seen from another angle."""
    shown = picture.copy()
    family = cv2.aruco.getPredefinedDictionary(FAMILY)
    for number, (x, y) in places.items():
        tag = np.full((side + 16, side + 16), 235, np.uint8)
        tag[8:-8, 8:-8] = cv2.aruco.generateImageMarker(family, number, side)
        shown[y : y + side + 16, x : x + side + 16] = tag
    return shown if turn is None else cv2.warpPerspective(shown, turn, (SIDE, SIDE), borderValue=128)


POLISHED = np.full((SIDE, SIDE), 128, np.uint8)
ASKEW = np.array([[0.62, -0.55, 260.0], [0.58, 0.66, -40.0], [-1e-4, 2e-4, 1.0]])
FOUR = {3: (40, 40), 7: (500, 60), 11: (60, 500), 200: (480, 500)}


def test_polished_views_that_share_markers_are_laid_on_each_other_by_them():
    assert isinstance(register(POLISHED, cv2.warpPerspective(POLISHED, ASKEW, (SIDE, SIDE))), Refusal)
    answer = register(tagged(POLISHED, FOUR), tagged(POLISHED, FOUR, turn=ASKEW))
    assert isinstance(answer, Registration)
    assert answer.way is Way.MARKERS
    assert off(answer.matrix, ASKEW) < 2.0
    assert answer.spread_px < 2.0


def test_markers_are_tried_first_and_what_the_surface_shows_makes_them_finer():
    near = np.array([[0.9998, -0.012, 34.0], [0.012, 0.9998, -29.0], [0, 0, 1.0]])
    two = {5: (40, 60), 9: (480, 480)}
    answer = register(tagged(metal(1, lamp=1), two), tagged(metal(1, lamp=-1), two, turn=near))
    assert isinstance(answer, Registration)
    assert answer.way is Way.MARKERS
    assert answer.quality.chance < 1e-3
    assert off(answer.matrix, near) < 1.5


def test_a_lone_small_marker_is_not_believed_without_the_surface():
    lone = {3: (40, 40)}
    assert isinstance(register(tagged(POLISHED, lone, side=40), tagged(POLISHED, lone, side=40)), Refusal)


def test_markers_that_contradict_each_other_say_nothing():
    elsewhere = dict(zip(FOUR, [(60, 500), (40, 40), (480, 500), (500, 60)], strict=True))
    views = tagged(POLISHED, FOUR), tagged(POLISHED, elsewhere)
    assert by_markers(*(grey(view) for view in views), 1) is None
    assert len(by_markers(grey(views[0]), grey(views[0]), 1).markers) == 4


def test_given_homographies_go_through_the_plane_that_views_share(tmp_path):
    content = {
        "views": {"top": np.eye(3).tolist(), "left": TURN.tolist()},
        "images": {"p1_top": (2 * np.eye(3)).tolist()},
    }
    (tmp_path / "views.yaml").write_text(yaml.safe_dump(content))
    given = read_given(tmp_path)
    assert np.allclose(given.between(("p0_left", "left"), ("p0_top", "top")), TURN)
    assert given.between(("p0_left", "left"), ("p0_right", "right")) is None
    assert read_given(tmp_path / "none").between(("a", "top"), ("b", "left")) is None


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("views: {top: [[1, 0], [0, 1]]}", "views.top"),
        ("views: {top: [[0, 0, 0], [0, 0, 0], [0, 0, 0]]}", "views.top"),
        ("views: {}\nspread_px: -1", "spread_px"),
        ("cameras: {}", "cameras"),
        ("views: [1]", "views"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_name(tmp_path, content, named):
    (tmp_path / "views.yaml").write_text(content)
    with pytest.raises(InvalidInput, match=named):
        read_given(tmp_path)
