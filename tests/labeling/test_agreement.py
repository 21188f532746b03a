"""Agreement between people, against worked examples of the papers; consensus, against ITK's STAPLE."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from labeling.agreement import (
    Pair,
    agreement,
    cohen_kappa,
    coincidences,
    drift,
    golden_score,
    krippendorff_alpha,
)
from labeling.consensus import consensus, staple
from qc.errors import InvalidInput

NAN = np.nan
CLASSES = {1: "scratch", 2: "dent"}


def test_kappa_of_twenty_and_fifteen_out_of_fifty_is_two_fifths():
    assert cohen_kappa(np.array([[20, 5], [10, 15]])) == pytest.approx(0.4)  # (0.7 - 0.5) / (1 - 0.5)


def test_kappa_is_one_for_agreement_zero_for_chance_and_minus_one_for_contradiction():
    assert cohen_kappa(np.array([[7, 0], [0, 3]])) == 1.0
    assert cohen_kappa(np.array([[25, 25], [25, 25]])) == 0.0
    assert cohen_kappa(np.array([[0, 5], [5, 0]])) == -1.0
    assert np.isnan(cohen_kappa(np.zeros((2, 2))))


KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)
"""Krippendorff 2011, section C: four observers, twelve units, gaps."""


def test_alpha_is_that_of_krippendorffs_own_example():
    matrix = coincidences(KRIPPENDORFF, [1, 2, 3, 4, 5])
    assert matrix.sum() == pytest.approx(40)
    assert krippendorff_alpha(matrix) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(matrix, [1, 2, 3, 4, 5]) == pytest.approx(0.849, abs=5e-4)


def test_alpha_of_two_observers_is_that_of_krippendorffs_binary_example():
    first = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    second = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert krippendorff_alpha(coincidences(np.array([first, second]), [0, 1])) == pytest.approx(0.095, abs=5e-4)


def drawing(*boxes):
    mask = np.zeros((40, 60), np.uint8)
    for x, y, w, h, class_id in boxes:
        mask[y : y + h, x : x + w] = class_id
    return mask


def test_two_people_who_draw_half_of_each_others_scratch():
    pair = Pair("P-1", drawing((10, 10, 10, 4, 1)), drawing((15, 10, 10, 4, 1)))
    found = agreement([pair], CLASSES)["scratch"]
    assert found["mask_iou"].value == pytest.approx(5 / 15)
    assert found["defect_f1"].value == 1.0
    assert found["mask_iou"].low is None  # one part has no spread


def test_a_scratch_that_only_one_person_drew_lowers_f1_and_kappa():
    both, empty = drawing((10, 10, 10, 4, 1)), drawing()
    pairs = [Pair("A", both, both), Pair("B", both, empty), Pair("C", empty, empty), Pair("D", both, both)]
    found = agreement(pairs, CLASSES)["scratch"]
    assert found["defect_f1"].value == pytest.approx(4 / 5)
    assert found["defect_f1_tiny"].value == pytest.approx(4 / 5)
    assert found["defect_f1_large"].value is None
    assert found["kappa"].value == pytest.approx(0.5)  # (3/4 - 1/2) / (1 - 1/2)
    assert found["kappa"].low <= 0.5 <= found["kappa"].high


def test_the_interval_is_over_parts_so_that_many_crops_of_one_part_do_not_narrow_it():
    one, two = drawing((10, 10, 10, 4, 1)), drawing((15, 10, 10, 4, 1))
    few = [Pair("A", one, one), Pair("B", one, two)]
    many = [Pair("A", one, one)] * 50 + [Pair("B", one, two)] * 50
    a, b = agreement(few, CLASSES)["scratch"]["mask_iou"], agreement(many, CLASSES)["scratch"]["mask_iou"]
    assert (a.low, a.high) == pytest.approx((b.low, b.high))


def test_what_nobody_knows_is_left_out():
    unsure = drawing((10, 10, 10, 4, 255))
    found = agreement([Pair("A", drawing((10, 10, 10, 4, 1)), unsure)], CLASSES)["scratch"]
    assert found["mask_iou"].value is None


def test_masks_of_different_sizes_are_refused():
    with pytest.raises(InvalidInput, match="cannot be compared"):
        agreement([Pair("A", drawing(), drawing()[1:])], CLASSES)


def test_golden_tasks_show_a_labeller_who_grows_careless():
    start = datetime(2026, 11, 1, tzinfo=UTC)
    times = [start + timedelta(days=k) for k in range(30)]
    falling = [0.95 - 0.01 * k + 0.02 * (-1) ** k for k in range(30)]
    steady = [0.9 + 0.02 * (-1) ** k for k in range(30)]
    trend = drift(times, falling)
    assert trend.per_30_days == pytest.approx(-0.3, abs=0.02)
    assert trend.certain
    assert not drift(times, steady).certain
    assert drift(times[:3], falling[:3]) is None


def test_seeing_that_a_golden_task_is_clean_is_right():
    assert golden_score(drawing(), drawing(), CLASSES) == 1.0
    assert golden_score(drawing((1, 1, 5, 5, 1)), drawing(), CLASSES) == 0.0
    assert golden_score(drawing((1, 1, 5, 5, 1)), drawing((1, 1, 5, 6, 1)), CLASSES) == 1.0


def noisy_people():
    random = np.random.default_rng(0)
    truth = np.zeros((12, 16), int)
    truth[3:9, 4:12] = 1
    votes = []
    for sensitivity, specificity in ((0.95, 0.97), (0.8, 0.9), (0.6, 0.99)):
        u = random.random(truth.shape)
        votes.append(np.where(truth == 1, u < sensitivity, u >= specificity))
    return truth, np.array(votes, float)


def test_staple_gives_what_itk_gives():
    found = staple(noisy_people()[1])
    # SimpleITK 2.5.7, STAPLEImageFilter on the same votes
    assert found.sensitivity == pytest.approx((0.9414259, 0.7274835, 0.6091569), abs=1e-5)
    assert found.specificity == pytest.approx((0.9769010, 0.9001231, 0.9779758), abs=1e-5)


def test_staple_trusts_the_expert_among_careless_people_more_than_the_majority_does():
    random = np.random.default_rng(1)
    truth = np.zeros((60, 60), int)
    truth[15:45, 10:50] = 1
    skills = [(0.99, 0.99), (0.7, 0.75), (0.65, 0.7), (0.7, 0.7), (0.6, 0.75)]
    votes = []
    for sensitivity, specificity in skills:
        u = random.random(truth.shape)
        votes.append(np.where(truth == 1, u < sensitivity, u >= specificity))
    votes = np.array(votes, float)
    found = staple(votes)
    majority = votes.sum(axis=0) >= 3
    assert ((found.probability > 0.5) != truth).sum() < 0.25 * (majority != truth).sum()
    assert min(found.sensitivity[0], found.specificity[0]) > 0.9
    assert max(*found.sensitivity[1:], *found.specificity[1:]) < 0.85


def test_a_person_who_saw_nothing_of_it_has_no_say():
    _, votes = noisy_people()
    absent = np.concatenate([votes, np.full((1, *votes.shape[1:]), NAN)])
    assert staple(absent).probability == pytest.approx(staple(votes).probability)


def test_three_people_make_one_mask_and_the_pixels_they_dispute_weigh_less():
    a = drawing((10, 10, 12, 6, 1))
    b = drawing((10, 10, 12, 6, 1))
    c = drawing((11, 10, 12, 6, 1), (40, 30, 5, 5, 2))
    found = consensus({"ann": a, "ben": b, "cy": c}, [1, 2])
    assert (found.mask[10:16, 11:22] == 1).all()
    assert (found.mask[30:35, 40:45] != 2).all()
    assert found.weight[12, 15] > 0.9
    assert found.weight[0, 0] == 1.0
    assert found.people["cy"][1] < 1.0


def test_two_classes_for_one_place_by_two_people_is_nobodys_word():
    found = consensus({"ann": drawing((10, 10, 8, 8, 1)), "ben": drawing((10, 10, 8, 8, 2))}, [1, 2])
    assert (found.mask[10:18, 10:18] == 255).all()
    assert found.weight[12, 12] < 0.5


def test_one_person_is_no_consensus():
    with pytest.raises(InvalidInput, match="two people"):
        consensus({"ann": drawing()}, [1])
