"""The fit goes to the top of its likelihood, also where steps are read only much later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from process_opt.climb import climb, hill, slope_of_each
from process_opt.em import em
from process_opt.estimate import Data, Estimate, prepare, start_estimate
from process_opt.habits import habits_of, moved
from process_opt.history import parse_history
from process_opt.layout import lay_out
from process_opt.simulate import Line, linear_line


@pytest.fixture(scope="module")
def line() -> Line:
    return linear_line(10, 5, every=5)


@pytest.fixture(scope="module")
def begun(line: Line) -> tuple[Estimate, Data]:
    history = parse_history(line.history(3000, 1), line.process)
    layout = lay_out(line.process, history)
    data = prepare(line.process, history, layout)
    return em(start_estimate(line.process, layout, data), data, passes=6), data


def to_the_end(line: Line, estimate: Estimate) -> tuple[np.ndarray, np.ndarray]:
    """What each setting of the first steps does to the finished part: as fitted, and in truth, in the state's units."""
    told, true = [], []
    settings = list(line.process.settings.values())
    for place in range(8):  # two levers of each of the first four steps, none of which is read
        first = settings[place][0]
        x, z = np.zeros((3, 2)), np.zeros((2, 3))
        for k in range(first, 10):
            v = np.zeros((2, 2))
            if k == first:
                v[place % 2] = 1.0, -1.0
            a, b = estimate.motions[k].map(v)
            x = np.einsum("ijn,jn->in", a, x) + b
            half = np.array([(s.high - s.low) / 2 for s in line.process.steps[k].settings])
            z = line.truths[k].move(z, v.T * estimate.layout.stretch[list(estimate.layout.levers[k])] / half)
        told.append((x[:, 0] - x[:, 1]) * estimate.layout.scale / line.unit)
        true.append(z[0] - z[1])
    return np.array(told), np.array(true)


def test_effects_that_are_read_only_steps_later_are_found_in_full(line: Line, begun: tuple[Estimate, Data]) -> None:
    early, data = begun
    late, _ = climb(early, data, rounds=10)
    slopes = []
    for estimate in (early, late):
        told, true = to_the_end(line, estimate)
        slopes.append(float((told * true).sum() / (true**2).sum()))
    assert slopes[0] < 0.9  # where passes of EM alone still are
    assert slopes[1] == pytest.approx(1.0, abs=0.05)
    assert hill(late, data).height > hill(early, data).height


def test_the_slope_of_the_likelihood_is_its_derivative(begun: tuple[Estimate, Data]) -> None:
    estimate, data = begun
    few = data.rows(np.arange(40))
    here = hill(estimate, few)
    flat = estimate.flat()
    for place in range(0, flat.size, 41):
        step = np.zeros(flat.size)
        step[place] = 1e-5
        up, down = (hill(estimate.with_weights(flat + s), few).height for s in (step, -step))
        assert here.slope[place] == pytest.approx((up - down) / 2e-5, rel=1e-3, abs=1e-2)
    chances = here.slope[here.weights : here.weights + here.chances]
    for place in (0, 8, 19):
        factors = np.zeros(chances.size)
        factors[place] = 1e-5
        up, down = (hill(estimate.with_chance(s), few).height for s in (factors, -factors))
        assert chances[place] == pytest.approx((up - down) / 2e-5, rel=1e-3, abs=1e-2)
    habits = habits_of(estimate)
    told = replace(few, pressed=np.zeros_like(few.pressed))  # with a hidden wish the normal belief is an approximation
    responses = hill(estimate, told).slope[here.weights + here.chances :]
    assert responses.size == habits.size > 0
    for place in range(0, habits.size, 7):
        moves = np.zeros(habits.size)
        moves[place] = 1e-5
        up, down = (hill(moved(estimate, habits, s), told).height for s in (moves, -moves))
        assert responses[place] == pytest.approx((up - down) / 2e-5, rel=0.02, abs=0.1)
    each, _ = slope_of_each(estimate, few)
    prior = np.concatenate([p.ravel() for p in estimate.penalty])
    off = flat - np.concatenate([estimate.prior_mean(k).ravel() for k in range(10)])
    assert each.sum(axis=1) - prior * off == pytest.approx(here.slope[: flat.size])
