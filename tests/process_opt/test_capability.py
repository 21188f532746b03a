"""Capability figures against plain computation and their textbook values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from process_opt.capability import capability, indices
from process_opt.history import parse_history
from process_opt.plant import bar_line
from process_opt.process import parse_process


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


def test_indices_are_those_of_the_handbooks_example() -> None:
    # NIST/SEMATECH e-Handbook of Statistical Methods, 7.1.6: limits 8 and 20, mean 16, standard deviation 2
    z = np.random.default_rng(3).standard_normal(200)
    y = 16 + 2 * (z - z.mean()) / z.std(ddof=1)
    found = indices(y, 8.0, 20.0)
    assert found["pp"] == pytest.approx(1.0)
    assert found["ppk"] == pytest.approx(0.6667, abs=1e-4)


def test_the_spread_from_part_to_part_is_that_of_the_handbooks_chart() -> None:
    # NIST/SEMATECH 6.3.2.2, flow rates of ten batches: mean 50.81, mean moving range 1.8778, limits 45.8159 and 55.8041
    y = np.array([49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1])
    found = indices(y, 45.8159, 55.8041)
    assert found["cp"] == pytest.approx(1.0, abs=1e-3)
    assert found["cpk"] == pytest.approx(1.0, abs=1e-3)


def test_yields_and_costs_are_those_of_a_sum_on_paper() -> None:
    reading = {"lower": 0.0, "upper": 10.0}
    process = parse_process(
        {
            "name": "paper",
            "part": {"value": 40.0, "scrap": 4.0, "escape": -60.0},
            "conformance": ["c.z"],
            "steps": [
                {"name": "a", "measurements": {"x": dict(reading)}},
                {"name": "b", "optional": True, "cost": 3.0, "settings": {"t": {"low": 0, "high": 2, "nominal": 1}}},
                {"name": "c", "measurements": {"z": dict(reading), "pits": {"kind": "count", "upper": 1}}},
            ],
        }
    )
    rows = [  # x, rework, z, pits, fate: of ten parts one is scrapped at a, one reworked, one ends outside
        *[(5.0, None, 5.0, 0, "finished")] * 6,
        (5.0, None, 5.0, 2, "finished"),
        (11.0, 1.0, 5.0, 0, "finished"),
        (5.0, None, 12.0, 1, "finished"),
        (12.0, None, None, None, "scrapped"),
    ]
    table = pd.DataFrame(rows, columns=["a.x", "b.t", "c.z", "c.pits", "disposition"])
    told = capability(process, parse_history(table.assign(part=[f"P{i}" for i in range(10)]), process))
    assert told["rolled_yield"] == pytest.approx(0.8 * 7 / 9, abs=1e-6)  # a: 8 of 10, c: 7 of 9
    assert told["first_yield"] == pytest.approx(0.8)
    assert told["poor_quality"] == pytest.approx((36 + 100 + 3) / 10)  # scrapped, outside, reworked
    assert told["readings"]["c.pits"] == {
        "cp": None, "cpk": None, "pp": None, "ppk": None, "parts": 9, "within": pytest.approx(8 / 9, abs=1e-6)
    }  # fmt: skip
