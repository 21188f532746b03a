"""How sure one must be of a defect, settled on validation images."""

from types import SimpleNamespace

import pytest

from segmentation.operating_point import surest


def image(*, found=(), alarms=(), clean=False):
    """What the operating point reads of an image: at which score its defects are found, and its false alarms."""
    defects = tuple(SimpleNamespace(found_at=score) for score in found)
    return SimpleNamespace(defects=defects, alarms=tuple(alarms), defective=not clean)


def test_a_gap_between_false_alarms_and_defects_is_cut_in_the_middle_of_the_log_odds():
    images = [image(found=[0.9]), image(found=[0.9, 0.95]), image(clean=True, alarms=[0.5]), image(clean=True)]
    assert surest(images, 0.2) == pytest.approx(0.75, abs=0.02)  # logit: halfway between 0.5 and 0.9


def test_where_they_overlap_the_fewest_mistakes_decide():
    clean = [image(clean=True, alarms=[0.4]) for _ in range(9)] + [image(clean=True, alarms=[0.8])]
    defective = [image(found=[0.6]) for _ in range(9)] + [image(found=[0.3])]
    assert 0.4 < surest(clean + defective, 0.2) <= 0.6


def test_a_defect_that_is_never_found_pulls_nothing_down():
    images = [image(found=[None]), image(found=[0.9]), image(clean=True, alarms=[0.5])]
    assert surest(images, 0.1) > 0.5


def test_the_threshold_is_never_below_the_edge_and_is_the_edge_where_nothing_can_be_told():
    assert surest([image(found=[0.15]), image(clean=True)], 0.3) >= 0.3
    assert surest([image(found=[0.9])], 0.3) == 0.3
    assert surest([image(clean=True, alarms=[0.7])], 0.3) == 0.3
