"""The two-sample test keeps its promise on false alarms, and finds what has moved."""

from __future__ import annotations

import numpy as np
import pytest

from qc.drift import FALSE_ONCE_IN, LEARN, WINDOWS, Appearance, level
from qc.two_sample import began, compare


def test_the_energy_distance_is_the_formulas():
    random = np.random.default_rng(0)
    usual, now = random.normal(size=(30, 3)), random.normal(size=(20, 3)) + 1.0
    both = np.concatenate([usual, now])
    left, _, _ = np.linalg.svd((both - both.mean(0)) / both.std(0), full_matrices=False)
    a, b = np.split(left * np.sqrt(50), [30])

    def mean(x, y):
        return np.mean([[np.linalg.norm(p - q) for q in y] for p in x])

    wanted = 2 * mean(a, b) - mean(a, a) - mean(b, b)
    assert compare(usual, now, permutations=99).distance == pytest.approx(wanted, rel=1e-4)


def test_p_values_of_equal_sources_are_no_smaller_than_they_should_be():
    random = np.random.default_rng(1)
    found = []
    for seed in range(150):
        rows = random.standard_t(3, size=(70, 5)) @ random.normal(size=(5, 5))  # odd tails, odd directions
        found.append(compare(rows[:50], rows[50:], permutations=99, seed=seed).p)
    for wanted in (0.05, 0.2):
        share = np.mean(np.array(found) <= wanted)
        assert share <= wanted + 3 * np.sqrt(wanted * (1 - wanted) / len(found))


def test_a_change_is_found_and_where_it_began():
    random = np.random.default_rng(2)
    usual, rows = random.normal(size=(200, 20)), random.normal(size=(60, 20))
    rows[40:, :4] += 1.5
    assert compare(usual, rows[40:], permutations=999).p == pytest.approx(0.001)
    assert abs(began(usual, rows) - 40) <= 2


def test_the_budget_of_false_alarms_is_spent_over_all_windows():
    parts = 10 * FALSE_ONCE_IN
    assert sum(parts / size * level(size) for size in WINDOWS) == pytest.approx(10)


def test_windows_learn_then_watch_and_begin_anew_when_told():
    random = np.random.default_rng(3)
    watched = Appearance()
    for _ in range(LEARN + 50):
        watched = watched.moved(random.normal(size=8).astype(np.float32))
        assert watched.shifted is None
    for _ in range(25):
        watched = watched.moved((random.normal(size=8) + 3.0).astype(np.float32))
    assert watched.shifted is not None
    assert abs(watched.shifted.parts - 25) <= 2
    assert watched.begun().seen == 0
    assert len(watched.begun().usual) == LEARN
