"""Readings that come in steps: found in a history, and judged between the steps by the limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel, load_model
from process_opt.recommend import recommend
from process_opt.rounding import gauge_with, limits_between, rounding_of
from process_opt.simulate import Line, linear_line
from process_opt.truth import true_fate

COARSE = 0.6
"""The step of the last readings, in the line's units: a standard deviation of a part left alone is about 1."""


@pytest.mark.parametrize(("step", "shift"), [(0.1, 0.0), (2.54, 0.3), (1e-6, 0.0), (25.0, 7.0)])
def test_the_step_of_a_reading_is_found_whatever_its_unit(step: float, shift: float) -> None:
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(40, 3, 500)) * step + shift
    values[::7] = np.nan
    found, value = rounding_of(values)
    assert found == pytest.approx(step)
    assert ((values[1] - value) / found) % 1 == pytest.approx(0.0, abs=1e-6) or (
        (values[1] - value) / found
    ) % 1 > 0.999


def test_a_reading_without_steps_has_none() -> None:
    rng = np.random.default_rng(1)
    plain, two_gauges = rng.normal(size=400), np.round(rng.normal(size=400), 1)
    two_gauges[200:] = np.round(two_gauges[200:] * 7 / 3, 2)
    assert rounding_of(plain) == rounding_of(two_gauges) == rounding_of(np.full(90, 3.0)) == (0.0, 0.0)
    assert rounding_of(np.array([])) == rounding_of(np.round(rng.normal(size=40), 2)) == (0.0, 0.0)


def test_what_is_written_down_is_what_the_limits_judge() -> None:
    rng = np.random.default_rng(2)
    behind = rng.normal(12.0, 0.1, 20_000)
    written = np.round(behind / 0.05) * 0.05
    for lower, upper in ((11.9, 12.1), (11.93, 12.12), (-np.inf, 12.0), (11.99, np.inf)):
        low, high = limits_between(lower, upper, 0.05, 0.0)
        passes = (written >= lower - 1e-9) & (written <= upper + 1e-9)
        assert np.array_equal(passes, (behind > low) & (behind < high))
    assert limits_between(1.0, 2.0, 0.0, 0.0) == (1.0, 2.0)
    low, high = limits_between(0.11, 0.14, 0.05, 0.0)
    assert low >= high, "no reading lies there"


def test_a_gauge_that_is_said_to_be_finer_than_its_steps_errs_by_these_too() -> None:
    assert gauge_with(0.01**2, 0.3) == pytest.approx(0.01**2 + 0.3**2 / 12)
    assert gauge_with(0.2**2, 0.3) == 0.2**2


@pytest.fixture(scope="module")
def line() -> Line:
    return linear_line(4, 2)


@pytest.fixture(scope="module")
def model(line: Line) -> ProcessModel:
    table = line.history(1000, 1)
    for name, (_, m) in line.process.measurements.items():
        if name in line.process.conformance:
            table[name] = np.round(table[name] / step_of(line, name)) * step_of(line, name)
            assert m.lower < m.upper
    return fit(line.process, parse_history(table, line.process))


def step_of(line: Line, name: str) -> float:
    return COARSE * float(line.unit[list(line.process.conformance).index(name)])


def between_the_steps(line: Line) -> Line:
    """The same line, judged by what lies behind the readings."""
    steps = list(line.process.steps)
    measurements = []
    for m in steps[-1].measurements:
        lower, upper = limits_between(m.lower, m.upper, step_of(line, m.name), 0.0)
        measurements.append(replace(m, lower=lower, upper=upper))
    steps[-1] = replace(steps[-1], measurements=tuple(measurements))
    other = linear_line(4, 2)
    other.process = replace(line.process, steps=tuple(steps))
    return other


def test_promises_hold_where_the_last_gauge_is_coarse(line: Line, model: ProcessModel, tmp_path) -> None:
    judged = between_the_steps(line)
    off, without = [], []
    for seed in range(12):
        part = line.start(seed)
        for _ in range(2):
            part.run_step(part.at or "")
        answer = recommend(model, {"part": "P", "at": part.at, "observed": part.observed})
        settings = answer["settings"]
        if answer["decision"] == "scrap":
            continue
        off.append(answer["p_conform"] - true_fate(judged, part.observed, 2, settings).chance)
        without.append(answer["p_conform"] - true_fate(line, part.observed, 2, settings).chance)
    assert len(off) >= 8
    assert np.sqrt(np.mean(np.square(off))) < 0.03
    assert np.sqrt(np.mean(np.square(without))) > 0.06, "the steps are coarse enough to matter"
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    assert again.id == model.id
    assert np.array_equal(again.layout.rounding, model.layout.rounding)
