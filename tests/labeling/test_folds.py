"""No model judges a part that it learnt from."""

from pathlib import Path

import pytest

from labeling.folds import folds
from qc.dataset import Sample
from qc.errors import InvalidInput


def sample(name, group):
    return Sample(Path(f"{name}.png"), None, "train", group, "", group)


SAMPLES = [sample(f"i{k}", f"g{k // 3}") for k in range(36)]
DEFECTIVE = [k % 9 == 0 for k in range(36)]


def test_a_group_is_on_one_side_only():
    side = folds(SAMPLES, count=3, defective=DEFECTIVE)
    assert all(
        len({s for s, x in zip(side, SAMPLES, strict=True) if x.group == g}) == 1 for g in {x.group for x in SAMPLES}
    )


def test_defective_images_are_dealt_out_evenly():
    side = folds(SAMPLES, count=2, defective=DEFECTIVE)
    bad = [sum(d for s, d in zip(side, DEFECTIVE, strict=True) if s == k) for k in range(2)]
    assert bad == [2, 2]
    assert abs(side.count(0) - side.count(1)) <= 3


def test_the_same_set_in_another_order_gives_the_same_folds():
    side = folds(SAMPLES, count=3, defective=DEFECTIVE)
    back = folds(SAMPLES[::-1], count=3, defective=DEFECTIVE[::-1])
    assert side == back[::-1]


def test_more_folds_than_defective_groups_are_refused():
    with pytest.raises(InvalidInput, match="take fewer"):
        folds(SAMPLES, count=5, defective=DEFECTIVE)
