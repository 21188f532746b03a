"""Capability figures against plain computation and their textbook values."""

from __future__ import annotations

import numpy as np
import pytest

from process_opt.capability import capability, indices
from process_opt.history import parse_history
from process_opt.plant import bar_line


def test_indices_of_independent_readings_agree_with_their_definition() -> None:
    y = np.random.default_rng(0).normal(10.2, 0.5, 50_000)
    found = indices(y, 8.0, 12.0)
    assert found["pp"] == pytest.approx(4 / (6 * 0.5), rel=0.02)
    assert found["ppk"] == pytest.approx(1.8 / (3 * 0.5), rel=0.02)
    assert found["cp"] == pytest.approx(found["pp"], rel=0.02)  # nothing drifts: from part to part as over all
    assert found["cpk"] == pytest.approx(found["ppk"], rel=0.02)


def test_drift_lowers_ppk_but_not_cpk() -> None:
    y = np.random.default_rng(1).normal(0, 0.5, 5000) + np.linspace(-1, 1, 5000)
    found = indices(y, -3.0, 3.0)
    assert found["cpk"] == pytest.approx(3 / 1.5, rel=0.05)
    assert found["ppk"] is not None
    assert found["cpk"] is not None
    assert found["ppk"] < 0.8 * found["cpk"]


def test_one_limit_has_no_cp_and_few_readings_have_nothing() -> None:
    y = np.random.default_rng(2).normal(0, 1, 100)
    assert indices(y, -np.inf, 3.0)["cp"] is None
    assert indices(y, -np.inf, 3.0)["cpk"] is not None
    assert set(indices(y[:5], -3.0, 3.0).values()) == {None}
    assert set(indices(np.ones(50), -3.0, 3.0).values()) == {None}


def test_yield_and_cost_are_those_of_a_count_part_by_part() -> None:
    line = bar_line(0, steps=20)
    table = line.history(300, 1)
    told = capability(line.process, parse_history(table, line.process))
    process, good, lost = line.process, 0, 0.0
    for row in table.to_dict("records"):
        ran = sum(s.cost for s in process.steps if s.optional and np.isfinite(row[s.settings[0].name]))
        if row["disposition"] == "scrapped":
            lost += process.value - process.scrap + ran
            continue
        limits = [(row[n], process.measurements[n][1]) for n in process.conformance]
        kept = all(m.lower <= y <= m.upper for y, m in limits)
        good += kept
        lost += (0.0 if kept else process.value - process.escape) + ran
    assert told["first_yield"] == pytest.approx(good / 300, abs=1e-6)
    assert told["poor_quality"] == pytest.approx(lost / 300, abs=1e-3)
    assert set(told["readings"]) == set(process.conformance)
