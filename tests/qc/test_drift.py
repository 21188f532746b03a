"""A station whose verdicts shift is noticed, whichever way, and one that is steady is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from qc.drift import LEARN, Charts, unlike


def parts(rng, number, *, rate=0.08, shift=0.0):
    """Bad or not, and a score, as of a station."""
    bad = rng.random(number) < rate
    scores = np.where(bad, rng.beta(5, 2, number), rng.beta(1, 12, number) + shift)
    return [(bool(b), float(min(s, 1.0))) for b, s in zip(bad, scores, strict=True)]


def learnt(rng, rate=0.08):
    charts = Charts()
    for bad, score in parts(rng, LEARN, rate=rate):
        assert charts.learning
        charts = charts.moved(bad, score)
    assert not charts.learning
    return charts


def until_alarm(charts, values):
    for n, (bad, score) in enumerate(values, start=1):
        charts = charts.moved(bad, score)
        if charts.shifts():
            return n, charts.shifts()
    return None


def test_a_rate_that_triples_is_noticed_within_some_hundred_parts_in_words_and_numbers():
    delays = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        number, shifts = until_alarm(learnt(rng), parts(rng, 2000, rate=0.24))
        delays.append(number)
        assert any("not ok" in shift.message or "higher" in shift.message for shift in shifts)
    assert np.median(delays) <= 150


def test_scores_that_creep_up_are_noticed_before_the_verdicts_change():
    rng = np.random.default_rng(1)
    number, (shift,) = until_alarm(learnt(rng), parts(rng, 500, shift=0.08))
    assert shift.what == "score"
    assert number <= 60
    assert 1 <= shift.parts <= number + 20


def test_defects_that_are_no_longer_found_are_noticed_as_well():
    rng = np.random.default_rng(2)
    charts = learnt(rng, rate=0.3)
    number, shifts = until_alarm(charts, parts(rng, 500, rate=0.0))
    assert number <= 60
    assert any("fewer" in shift.message or "lower" in shift.message for shift in shifts)


def test_a_steady_station_raises_hardly_any_alarm():
    false = sum(
        until_alarm(learnt(rng), parts(rng, 5_000)) is not None
        for rng in (np.random.default_rng(seed) for seed in range(10))
    )
    assert false <= 1


def test_after_an_answer_the_charts_begin_anew_with_the_same_usual():
    rng = np.random.default_rng(3)
    charts = learnt(rng)
    before = charts.usual
    for bad, score in parts(rng, 300, rate=0.5):
        charts = charts.moved(bad, score)
    assert charts.shifts()
    assert charts.begun().shifts() == []
    assert charts.begun().usual == before
    assert Charts().begun() == Charts()


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_line_without_a_single_bad_or_good_part_is_watched_too(rate):
    rng = np.random.default_rng(4)
    charts = learnt(rng, rate=rate)
    assert until_alarm(charts, parts(rng, 400, rate=rate)) is None
    assert until_alarm(charts, parts(rng, 400, rate=1.0 - rate)) is not None


def test_of_parts_that_look_new_alike_only_one_stands_at_the_top():
    rng = np.random.default_rng(0)
    usual = rng.normal(size=(100, 20)) * np.arange(1, 21)  # numbers of different units
    as_ever = rng.normal(size=(5, 20)) * np.arange(1, 21)
    rust, oil = np.zeros(20), np.zeros(20)
    rust[0], oil[19] = 12.0, 180.0
    seen = [*as_ever, rust, rust + 0.01, rust - 0.01, oil]
    first, second = np.argsort(unlike(usual, seen))[::-1][:2].tolist()
    assert {first == 8 or second == 8, first in (5, 6, 7) or second in (5, 6, 7)} == {True}
    alike = [unlike(usual, seen)[n] for n in (5, 6, 7)]
    assert sorted(alike)[1] < min(unlike(usual, list(as_ever)))
