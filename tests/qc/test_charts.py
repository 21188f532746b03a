"""Control charts find a shift soon and leave a steady process alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qc.charts import Cusum, Proportion, RateCusum, runs
from qc.errors import InvalidInput


def run(chart, values):
    """Values until the alarm, or None."""
    for n, value in enumerate(values, start=1):
        chart = chart.moved(value)
        if chart.alarm:
            return n, chart
    return None


def test_a_shift_by_one_standard_deviation_is_found_after_about_thirty_values_and_dated():
    rng = np.random.default_rng(1)
    found = [run(Cusum(), rng.normal(1.0, 1.0, 500)) for _ in range(200)]
    delays = [n for n, _ in found]
    assert np.median(delays) == pytest.approx(30, abs=4)
    assert all(chart.alarm == "up" and chart.since <= n for n, chart in found)


def test_a_steady_process_and_a_single_wild_value_raise_no_alarm():
    rng = np.random.default_rng(2)
    assert run(Cusum(), rng.normal(0.0, 1.0, 50_000)) is None
    assert run(Cusum(), [0.0, 1000.0, 0.0, math.nan, 0.0]) is None


def test_a_fall_is_an_alarm_downwards():
    assert run(Cusum(), [-2.0] * 30)[1].alarm == "down"


def test_a_rate_that_doubles_is_found_and_one_that_stays_seldom_alarms():
    rng = np.random.default_rng(3)
    chart = RateCusum(usual=0.05, raised=0.1)
    delays = [run(chart, rng.random(3_000) < 0.10) for _ in range(60)]
    assert np.median([n for n, _ in delays]) < 400
    false = [run(chart, rng.random(3_000) < 0.05) for _ in range(60)]
    assert sum(one is not None for one in false) <= 6


def test_a_rate_that_falls_is_found_as_well():
    chart = RateCusum(usual=0.2, raised=0.05)
    assert run(chart, [False] * 200) is not None


def test_the_p_chart_counts_standard_deviations_of_the_binomial():
    chart = Proportion(0.1, 100)
    assert chart.deviation(10) == pytest.approx(0.0)
    assert chart.deviation(16) == pytest.approx(2.0)
    assert math.isfinite(Proportion(0.0, 50).deviation(3))


@pytest.mark.parametrize(
    ("deviations", "words"),
    [
        ([0, 0, 3.5], "one group"),
        ([2.5, 0.0, 2.5], "two of three"),
        ([1.5, 1.2, 0.0, 1.1, 1.4], "four of five"),
        ([0.1] * 8, "eight groups in a row above"),
        ([-0.1] * 8, "eight groups in a row below"),
        ([0.1, -0.1] * 10, ""),
        ([], ""),
    ],
)
def test_the_run_rules_are_those_of_the_handbook(deviations, words):
    told = runs(deviations)
    assert words in told
    assert bool(told) == bool(words)


def test_rates_that_make_no_sense_are_refused():
    with pytest.raises(InvalidInput, match="rates"):
        RateCusum(usual=0.0, raised=0.1)
