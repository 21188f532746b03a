"""A class is learnt from a few examples, and what it promises is what it keeps on others."""

from __future__ import annotations

import numpy as np
import pytest

from qc.errors import InvalidInput
from segmentation.heads import average_precision, from_json, learn, to_json


def defects(random, number, *, of_class, length=152):
    """Vectors of two kinds of defect that differ along a few of many directions."""
    x = random.normal(size=(number, length))
    x[:, :6] += 2.0 if of_class else 0.0
    return x.astype(np.float32)


@pytest.fixture(scope="module")
def learnt():
    random = np.random.default_rng(0)
    x = np.concatenate([defects(random, 10, of_class=True), defects(random, 60, of_class=False)])
    return learn(x, np.arange(70) < 10, [f"P-{n}" for n in range(70)])


def test_ten_examples_are_enough_for_a_class_that_stands_apart(learnt):
    random = np.random.default_rng(1)
    new = np.concatenate([defects(random, 200, of_class=True), defects(random, 200, of_class=False)])
    is_class = np.arange(400) < 200
    p = learnt.probability(new)
    assert average_precision(p, is_class) > 0.9
    assert ((p >= 0) & (p <= 1)).all()
    assert abs(learnt.held_out.average_precision - average_precision(p, is_class)) < 0.25


def test_the_held_out_estimate_of_a_class_that_is_none_is_no_better_than_chance():
    random = np.random.default_rng(2)
    found = []
    for _ in range(12):
        x = defects(random, 60, of_class=False)
        found.append(learn(x, np.arange(60) < 12, [f"P-{n}" for n in range(60)]).held_out.average_precision)
    assert np.mean(found) < 0.35, "chance is 0.2, and a little more with so few"


def test_a_part_is_left_out_as_a_whole():
    """Every part has a look of its own: whoever has seen the part knows the answer, and may not."""
    random = np.random.default_rng(3)
    own = np.repeat(random.normal(size=(20, 152)) * 3, 4, axis=0)
    x, y = own + random.normal(size=(80, 152)) * 0.01, np.repeat(np.arange(20) % 2 == 0, 4)
    together = learn(x, y, [f"P-{n // 4}" for n in range(80)]).held_out.average_precision
    apart = learn(x, y, [f"P-{n}" for n in range(80)]).held_out.average_precision
    assert apart > 0.95
    assert together < 0.8


def test_a_head_comes_back_from_json_and_a_damaged_one_is_refused(learnt):
    back = from_json(to_json(learnt))
    x = defects(np.random.default_rng(4), 5, of_class=True)
    assert back.probability(x) == pytest.approx(learnt.probability(x))
    with pytest.raises(InvalidInput, match="learn it again"):
        from_json({"mean": [0.0]})


def test_what_cannot_be_learnt_is_refused():
    x, y = np.zeros((10, 4)), np.arange(10) < 3
    with pytest.raises(InvalidInput, match="3 examples"):
        learn(x, y, [str(n) for n in range(10)])
    with pytest.raises(InvalidInput, match="two parts"):
        learn(x, np.arange(10) < 5, ["one"] * 5 + ["two"] * 5)
    with pytest.raises(InvalidInput, match="finite"):
        learn(np.full((10, 4), np.nan), np.arange(10) < 5, [str(n) for n in range(10)])


def test_average_precision_is_the_textbooks():
    assert average_precision(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])) == pytest.approx(
        (1 + 2 / 3) / 2
    )
    assert average_precision(np.array([0.5, 0.5]), np.array([True, False])) == 0.5, "a tie flatters nobody"
