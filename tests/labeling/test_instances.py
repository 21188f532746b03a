"""Where blemishes lie on a frame: every pixel in one box, and what touches in the same."""

import cv2
import numpy as np
import pytest

from labeling.instances import apart, boxes
from qc.geometry import Box


def crowded(rng, *, side, count):
    """Lines, rings and stray pixels that cross, touch and hide each other, some in several pieces."""
    instances = np.zeros((side, side), np.uint16)
    for k in range(1, count + 1):
        x, y = (int(v) for v in rng.integers(-5, side + 5, 2))
        if k % 3:
            cv2.line(instances, (x, y), (x + int(rng.integers(-40, 40)), y + int(rng.integers(-40, 40))), k, k % 3)
        else:
            cv2.ellipse(instances, (x, y), (int(rng.integers(1, 20)), int(rng.integers(1, 9))), 0, 0, 360, k, 1)
    return instances


@pytest.mark.parametrize("seed", range(5))
def test_the_box_of_each_number_is_as_tight_as_can_be(seed):
    instances = crowded(np.random.default_rng(seed), side=200, count=40)
    found = boxes(instances[3:, 7:])
    assert set(found) == set(np.unique(instances[3:, 7:]).tolist()) - {0}
    for k, box in found.items():
        rows, columns = np.nonzero(instances[3:, 7:] == k)
        assert box.as_list() == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]


def test_where_nothing_is_seen_there_is_no_box_and_the_largest_number_has_one():
    instances = np.zeros((4, 5), np.uint16)
    assert boxes(instances) == {}
    assert apart([]) == []
    instances[3, 4] = 65535
    assert boxes(instances) == {65535: Box(4, 3, 1, 1)}


@pytest.mark.parametrize("seed", range(5))
def test_boxes_that_are_apart_cut_no_connected_region_and_share_no_pixel(seed):
    rng = np.random.default_rng(seed)
    instances = crowded(rng, side=300, count=int(rng.integers(5, 40)))
    found = apart(list(boxes(instances).values()))
    inside = np.zeros(instances.shape, int)
    for box in found:
        inside[box.y : box.bottom, box.x : box.right] += 1
    assert inside.max() == 1
    assert (inside[instances > 0] == 1).all()
    grown = np.pad(np.zeros_like(inside), 1)
    for k, box in enumerate(found, start=1):
        around = grown[box.y : box.bottom + 2, box.x : box.right + 2]
        assert set(np.unique(around)) == {0}, "another box lies within a pixel"
        grown[box.y + 1 : box.bottom + 1, box.x + 1 : box.right + 1] = k


def test_boxes_that_meet_at_a_corner_become_one_and_that_may_reach_a_third():
    corner = [Box(0, 0, 5, 5), Box(5, 5, 5, 5)]
    assert apart(corner) == [Box(0, 0, 10, 10)]
    assert apart([*corner, Box(8, 0, 9, 2)]) == [Box(0, 0, 17, 10)]
    assert sorted(b.x for b in apart([Box(0, 0, 5, 5), Box(6, 0, 5, 5)])) == [0, 6]
