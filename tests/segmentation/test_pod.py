"""The curve of detection against simulation, against its definition, and where it must keep silent."""

import math

import numpy as np
import pytest

from qc.errors import InvalidInput
from segmentation.pod import probability_of_detection


def study(random, count, *, a50=10.0, slope=4.0):
    sizes = np.exp(random.uniform(math.log(2), math.log(60), count))
    chance = 1 / (1 + np.exp(-slope * (np.log(sizes) - math.log(a50))))
    return sizes, random.random(count) < chance


def test_many_defects_give_the_curve_they_were_drawn_from():
    pod = probability_of_detection(*study(np.random.default_rng(1), 20_000))
    true90 = 10 * math.exp(math.log(9) / 4)
    assert pod.a50 == pytest.approx(10, rel=0.03)
    assert pod.a90 == pytest.approx(true90, rel=0.03)
    assert pod.slope == pytest.approx(4, rel=0.05)
    assert pod.a90 < pod.a90_95 < pod.a90_interval[1] < 1.05 * true90
    assert pod.at(pod.a90) == pytest.approx(0.9)
    assert pod.note == ""


def test_the_curve_solves_firths_score_equations():
    sizes, hit = study(np.random.default_rng(2), 200)
    pod = probability_of_detection(sizes, hit)
    x = np.stack([np.ones(200), np.log(sizes)], axis=1)
    b = np.zeros(2)
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ b))
        weight = p * (1 - p)
        inverse = np.linalg.inv((x.T * weight) @ x)
        leverage = weight * np.einsum("ij,jk,ik->i", x, inverse, x)
        b += inverse @ x.T @ (hit - p + leverage * (0.5 - p))
    assert (pod.intercept, pod.slope) == pytest.approx(tuple(b), rel=1e-3)


def test_in_95_of_100_studies_the_bounds_hold():
    random = np.random.default_rng(3)
    true90 = 10 * math.exp(math.log(9) / 4)
    pods = [probability_of_detection(*study(random, 120)) for _ in range(120)]
    assert np.mean([p.a90_95 is None or p.a90_95 >= true90 for p in pods]) >= 0.89  # 0.95 less three standard errors
    halves = [p.a50_interval for p in pods]
    assert np.mean([(low or 0.0) <= 10 <= (high or math.inf) for low, high in halves]) >= 0.89
    assert np.mean([low is not None and high is not None for low, high in halves]) > 0.9


def test_defects_that_a_size_separates_still_give_a_bound():
    sizes = np.arange(1.0, 81.0)
    pod = probability_of_detection(sizes, sizes > 20)
    assert 19 < pod.a50 < 22
    assert pod.a50 < pod.a90_95 < 30


def test_29_of_29_is_a_bound_and_28_of_28_is_none():
    sizes = np.arange(5.0, 45.0)
    assert probability_of_detection(sizes, np.ones(40, bool)).a90_95 == 33.0
    assert probability_of_detection(sizes[:28], np.ones(28, bool)).a90_95 is None
    assert "nothing was missed" in probability_of_detection(sizes[:28], np.ones(28, bool)).note


def test_what_was_not_seen_is_not_claimed():
    sizes = np.linspace(2, 10, 100)
    none = probability_of_detection(sizes, np.zeros(100, bool))
    assert (none.a90, none.note) == (None, "no defect was found")
    assert probability_of_detection(np.zeros(0), np.zeros(0, bool)).note == "no defect was drawn"
    half = probability_of_detection(sizes, np.arange(100) % 2 == 0)
    assert half.a90 is None
    assert half.a90_95 is None
    backwards = probability_of_detection(sizes, sizes < 5)
    assert "not found more often" in backwards.note


def test_a_size_of_nothing_is_refused():
    with pytest.raises(InvalidInput, match="positive"):
        probability_of_detection(np.array([1.0, 0.0]), np.array([True, False]))
