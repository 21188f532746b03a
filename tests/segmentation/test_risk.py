"""The bound on escapes holds over thousands of imaginary plants; the thresholds are the cheapest that keep it."""

import numpy as np
import pytest
from scipy.stats import norm

from qc.errors import InvalidInput
from segmentation.risk import Costs, choose_thresholds, cost_per_part, escape_limit

COSTS = Costs(escape=120.0, reject=40.0, review=4.0)


def chance(z):
    return norm.cdf(z)


def escape_rate(threshold: float) -> float:
    """Of defective parts whose scores are cdf(N(1, 1))."""
    return float(norm.cdf(norm.ppf(threshold) - 1)) if threshold > 0 else 0.0


@pytest.mark.parametrize(("count", "alpha"), [(19, 0.05), (30, 0.1), (100, 0.05), (250, 0.02)])
def test_the_expected_share_of_escapes_is_at_most_alpha_and_hardly_less(count, alpha):
    random = np.random.default_rng(count)
    rates = [escape_rate(escape_limit(chance(random.normal(1, 1, count)), alpha)) for _ in range(4000)]
    error = np.std(rates) / 4000**0.5
    assert np.mean(rates) <= alpha + 3 * error
    assert np.mean(rates) >= alpha - 1 / (count + 1) - 3 * error  # the theorem's other side


@pytest.mark.parametrize(("count", "alpha"), [(60, 0.05), (200, 0.05), (150, 0.1)])
def test_with_a_level_19_plants_of_20_keep_the_bound(count, alpha):
    random = np.random.default_rng(count)
    rates = [escape_rate(escape_limit(chance(random.normal(1, 1, count)), alpha, level=0.95)) for _ in range(4000)]
    assert np.mean(np.array(rates) <= alpha) >= 0.95 - 3 * (0.95 * 0.05 / 4000) ** 0.5


def test_the_bound_survives_the_choice_of_the_cheapest_thresholds():
    random = np.random.default_rng(7)
    rates = []
    for _ in range(1500):
        score = chance(np.concatenate([random.normal(1, 1, 40), random.normal(-1, 1, 160)]))
        chosen = choose_thresholds(score, np.arange(200) < 40, Costs(1.0, 40.0, 4.0), alpha=0.05)
        assert chosen.ok_below <= chosen.highest_ok
        rates.append(escape_rate(chosen.ok_below))
    assert np.mean(rates) <= 0.05 + 3 * np.std(rates) / 1500**0.5


def test_too_few_defective_parts_promise_nothing_and_nothing_passes_unseen():
    assert escape_limit(np.full(18, 0.9), 0.05) == 0
    assert escape_limit(np.full(19, 0.9), 0.05) == 0.9
    assert escape_limit(np.full(58, 0.9), 0.05, level=0.95) == 0  # 0.95^59 is below 5 %: the rule of 59
    assert escape_limit(np.full(59, 0.9), 0.05, level=0.95) == 0.9
    few = choose_thresholds(np.array([0.1, 0.2, 0.9]), np.array([False, False, True]), COSTS, alpha=0.05)
    assert few.ok_below == 0
    assert few.verdict(0.0) == "review"


def test_equal_scores_do_not_break_the_bound():
    scores = np.repeat([0.2, 0.8], 50)
    assert escape_limit(scores, 0.1) == 0.2  # none is below it; below 0.8 there would be half


def test_the_thresholds_are_the_cheapest_of_all():
    random = np.random.default_rng(4)
    for _ in range(40):
        defective = random.random(25) < 0.4
        defective[:2] = True, False
        score = np.round(chance(random.normal(np.where(defective, 0.7, -0.7))), 2)
        prevalence = 0.05
        weight = np.where(defective, prevalence / defective.sum(), (1 - prevalence) / (~defective).sum())
        chosen = choose_thresholds(score, defective, COSTS, alpha=0.3, prevalence=prevalence)
        places = [0.0, *np.unique(score), 2.0]
        every = [
            cost_per_part(score, defective, low, high, COSTS, weight)
            for low in places
            for high in places
            if low <= high and low <= chosen.highest_ok
        ]
        assert chosen.cost_per_part == pytest.approx(min(every))
        again = cost_per_part(score, defective, chosen.ok_below, chosen.ng_from, COSTS, weight)
        assert again == pytest.approx(chosen.cost_per_part)


def test_dear_reviews_are_not_asked_for_and_cheap_ones_are():
    random = np.random.default_rng(5)
    defective = np.arange(400) < 150
    score = chance(random.normal(np.where(defective, 1.0, -1.0)))
    dear = choose_thresholds(score, defective, Costs(120.0, 40.0, 1000.0), alpha=0.2)
    cheap = choose_thresholds(score, defective, Costs(120.0, 40.0, 0.5), alpha=0.2)
    assert not any(dear.verdict(s) == "review" for s in score)
    assert sum(cheap.verdict(s) == "review" for s in score) > 50


def test_where_defects_are_rare_fewer_parts_are_rejected():
    random = np.random.default_rng(6)
    defective = np.arange(400) < 200
    score = chance(random.normal(np.where(defective, 1.0, -1.0)))
    half = choose_thresholds(score, defective, COSTS, alpha=0.05)
    rare = choose_thresholds(score, defective, COSTS, alpha=0.05, prevalence=0.001)
    assert half.prevalence == 0.5
    assert rare.ng_from > half.ng_from
    assert rare.ok_below == rare.highest_ok  # money alone would let more pass; the bound does not


@pytest.mark.parametrize(
    "call",
    [
        lambda: Costs(-1, 0, 0),
        lambda: escape_limit(np.zeros(3), 1.0),
        lambda: choose_thresholds(np.zeros(0), np.zeros(0, bool), COSTS),
        lambda: choose_thresholds(np.array([2.0]), np.array([True]), COSTS),
        lambda: choose_thresholds(np.array([0.5]), np.array([True]), COSTS, prevalence=-0.1),
    ],
)
def test_what_makes_no_sense_is_refused(call):
    with pytest.raises(InvalidInput):
        call()
