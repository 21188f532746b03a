"""How sure one must be of a defect, and where it ends, settled on validation images."""

from types import SimpleNamespace

import numpy as np
import pytest

from qc.ports import Segmentation
from segmentation.operating_point import Tally, settle, surest, where_it_ends


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


def scratch(ends: float, texture: float = 0.15) -> tuple[Segmentation, np.ndarray]:
    """A drawn scratch of 20 px whose last 10 are only `ends` sure, beside faint texture; and the truth."""
    sure = np.full((40, 40), 0.01)
    sure[10, 5:15], sure[10, 15:25], sure[20:38, 2:38] = 0.99, ends, texture
    truth = np.zeros((40, 40), np.uint8)
    truth[10, 5:25] = 1
    return Segmentation(np.log(sure / (1 - sure)).astype(np.float16), np.ones((40, 40), np.uint8)), truth


def test_faint_ends_of_what_counts_belong_to_it_whatever_texture_lies_elsewhere():
    answers = [scratch(0.11)]
    edge = where_it_ends(answers, {1: "scratch"}, threshold=0.9)
    assert edge <= 0.11
    tally = Tally({1: "scratch"})
    for seen, truth in answers:
        tally.add(seen, truth)
    assert tally.best()[0] > 0.15, "asked of every pixel, the texture would cut them off"


def test_an_edge_that_lets_a_defect_run_into_the_surface_is_not_taken():
    seen, truth = scratch(0.6)
    seen.log_odds[9:12, 3:38] = np.maximum(seen.log_odds[9:12, 3:38], np.float16(np.log(0.2 / 0.8)))
    assert 0.2 < where_it_ends([(seen, truth)], {1: "scratch"}, threshold=0.9) <= 0.6


def test_the_edge_is_below_the_threshold_and_something_where_nothing_is_drawn():
    seen, truth = scratch(0.11)
    assert where_it_ends([(seen, truth)], {1: "scratch"}, threshold=0.055) == 0.055
    assert where_it_ends([(seen, 0 * truth)], {1: "scratch"}, threshold=0.4) == 0.4


def test_threshold_and_edge_are_settled_together():
    seen, truth = scratch(0.11)
    clean = Segmentation(np.full((40, 40), -6.0, np.float16), np.ones((40, 40), np.uint8))
    threshold, edge = settle([(seen, truth), (clean, 0 * truth)], {1: "scratch"})
    assert edge <= 0.11 < threshold
