"""A blemish is found once, measured, and its outline gives it back."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qc import defects
from qc.defects import class_mask, find_blobs, find_defects, logit, outline, probability
from qc.ports import Segmentation

CLASSES = {1: "scratch", 2: "pit"}


def seen(scores: np.ndarray, class_id: int = 1) -> Segmentation:
    clipped = np.clip(scores, 1e-4, 1 - 1e-4)
    return Segmentation(np.log(clipped / (1 - clipped)).astype(np.float16), np.full(scores.shape, class_id, np.uint8))


def test_what_is_doubtful_is_listed_after_what_counts():
    scores = np.zeros((60, 60))
    scores[10:14, 10:40] = 0.9
    scores[30:34, 10:40] = 0.2  # doubtful
    scores[50:54, 10:40] = 0.02  # nothing

    defects, instances = find_defects(seen(scores), CLASSES, threshold=0.5)

    assert [(d.counts, d.box.as_list()) for d in defects] == [(True, [10, 10, 30, 4]), (False, [10, 30, 30, 4])]
    assert defects[0].score == pytest.approx(0.9, abs=0.01)
    assert instances[12, 20] == 1
    assert instances[32, 20] == 2
    assert np.unique(class_mask(defects, instances)).tolist() == [0, 1]
    assert class_mask(defects, instances)[32, 20] == 0


def test_doubt_around_a_sure_defect_is_not_a_second_defect():
    scores = np.zeros((40, 40))
    scores[8:24, 8:32] = 0.2
    scores[14:18, 12:28] = 0.9

    defects, _ = find_defects(seen(scores), CLASSES, threshold=0.5)

    assert [d.area_px for d in defects] == [4 * 16]


def test_millimetres_are_given_only_where_the_view_is_calibrated():
    scores = np.zeros((40, 80))
    scores[10:15, 10:70] = 0.9

    (bare,), _ = find_defects(seen(scores), CLASSES, threshold=0.5)
    (scaled,), _ = find_defects(seen(scores), CLASSES, threshold=0.5, mm_per_px=0.1)

    assert bare.as_json()["length_mm"] is None
    assert scaled.as_json()["length_mm"] == pytest.approx(scaled.length_px * 0.1, abs=1e-3)
    assert scaled.as_json()["area_mm2"] == pytest.approx(300 * 0.01)


def test_direction_and_contrast_are_given_where_the_picture_is():
    scores, picture = np.zeros((60, 60)), np.full((60, 60), 100, np.uint8)
    scores[10:13, 10:40], picture[10:13, 10:40] = 0.9, 151

    (blind,), _ = find_defects(seen(scores), CLASSES, threshold=0.5)
    (found,), _ = find_defects(seen(scores), CLASSES, threshold=0.5, pixels=picture)

    assert blind.as_json()["contrast"] is None
    assert found.as_json()["contrast"] == pytest.approx(0.2)
    (deep,), _ = find_defects(seen(scores), CLASSES, threshold=0.5, pixels=picture.astype(np.uint16) << 4)
    assert deep.as_json()["contrast"] == pytest.approx(0.2, abs=0.002), "a camera of 12 bit"
    assert found.as_json()["angle_deg"] == 0


@settings(max_examples=100, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.booleans()))
def test_every_pixel_that_counts_belongs_to_exactly_one_defect(mask):
    defects, instances = find_defects(seen(np.where(mask, 0.9, 0.001)), CLASSES, threshold=0.5)

    assert np.array_equal(instances > 0, mask)
    assert [int((instances == k).sum()) for k in range(1, len(defects) + 1)] == [d.area_px for d in defects]


@settings(max_examples=100, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.booleans()))
def test_the_outer_rings_hold_the_whole_blob(mask):
    rings = outline(mask, dx=3, dy=5)
    drawn_back = np.zeros((30, 30), np.uint8)
    for ring in rings:
        cv2.drawContours(drawn_back, [np.array(ring, np.int32)[:, None]], -1, 1, cv2.FILLED)

    assert (drawn_back[5 : 5 + mask.shape[0], 3 : 3 + mask.shape[1]] >= mask).all()
    assert bool(rings) == bool(mask.any())


@given(st.floats(1e-6, 1 - 1e-6))
def test_log_odds_and_probability_are_each_others_inverse(p):
    assert probability(logit(p)) == pytest.approx(p)


def test_probability_does_not_overflow():
    assert probability(-2000) == 0
    assert probability(2000) == 1


def test_a_faint_region_counts_only_where_its_surest_pixel_does_and_then_as_a_whole():
    odds = np.full((40, 60), -6.0, np.float16)
    odds[10, 5:25] = logit(0.3)  # faint all along
    odds[30, 5:25] = logit(0.3)
    odds[30, 12] = logit(0.9)  # sure in the middle
    seen = Segmentation(odds, np.ones(odds.shape, np.uint8))
    defects, instances = find_defects(seen, {1: "scratch"}, threshold=0.6, edge=0.2)
    assert [(d.counts, d.area_px) for d in defects] == [(True, 20), (False, 20)]
    assert (instances == 1).sum() == 20
    assert [d.close for d in defects] == [True, True]  # odds of 0.43 are more than a quarter of 1.5
    strict, _ = find_defects(seen, {1: "scratch"}, threshold=0.8, edge=0.2)
    assert [d.close for d in strict] == [True, False]
    alone, _ = find_defects(seen, {1: "scratch"}, threshold=0.6)
    assert [(d.counts, d.area_px) for d in alone] == [(True, 1), (False, 20)]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([(1, 1), (33, 31), (200, 333), (64, 1024)]), st.floats(0.0002, 0.2))
def test_blobs_of_pieces_are_those_of_the_whole_frame(seed, shape, share):
    random = np.random.default_rng(seed)
    drawn = cv2.dilate((random.random(shape) < share / 4).astype(np.uint8), np.ones((2, 3), np.uint8)) > 0
    log_odds = np.where(drawn, random.normal(0, 3, shape), -20).astype(np.float16)
    answer = Segmentation(log_odds, random.integers(1, 4, shape).astype(np.uint8))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(defects, "MOST_PIECES", -1)
        whole = find_blobs(answer, threshold=0.6, edge=0.3)
    pieces = find_blobs(answer, threshold=0.6, edge=0.3)
    assert [(b.score, b.class_id, b.box, b.counts, b.close) for b in pieces] == [
        (b.score, b.class_id, b.box, b.counts, b.close) for b in whole
    ]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(pieces, whole, strict=True))
