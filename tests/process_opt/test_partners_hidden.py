"""What a partner's machines add, and settings that come to light only steps later, cross in its interface."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel, load_model
from process_opt.partners.interface import Interface, read_interface
from process_opt.partners.joining import join
from process_opt.partners.local import fit_partner
from process_opt.process import Process, parse_process
from process_opt.recommend import recommend
from process_opt.what_if import what_if
from qc.durable import write_whole
from qc.errors import InvalidInput

PARTS, STEPS, BORDER = 2000, 6, 4
EFFECT = (0.05, 0.06, 0.04, 0.06, 0.05, 0.05)
LATE = 0.05
"""What the first step's feed does once more at the third, by something that nobody measures."""
MILLS = {"M1": -0.05, "M2": 0.02, "M3": 0.06, "M4": 0.0}
SHARES = (0.5, 0.3, 0.18, 0.02)


@pytest.fixture(scope="module")
def process() -> Process:
    reading = {"unit": "mm", "gauge_sd": 0.01}
    steps: list[dict[str, Any]] = [
        {
            "name": f"s{k + 1}",
            "partner": "P1" if k < BORDER else "P2",
            "cost": 0.2,
            "settings": {"feed": {"low": -3, "high": 3, "nominal": 0, "unit": "mm"}},
            "measurements": {"diameter": dict(reading)},
        }
        for k in range(STEPS)
    ]
    steps[1]["machines"] = list(MILLS)
    steps[-1]["measurements"]["diameter"] |= {"lower": 11.9, "upper": 12.1}
    money = {"value": 40.0, "scrap": 1.0, "escape": -100.0}
    return parse_process({"name": "shaft", "part": money, "conformance": ["s6.diameter"], "steps": steps})


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """People steer half of the parts by what they read; the others are dithered."""
    rng = np.random.default_rng(4)
    x = 12 + 0.05 * rng.standard_normal(PARTS)
    drawn = rng.random(PARTS) < 0.5
    mill = rng.choice(list(MILLS), size=PARTS, p=SHARES)
    seen = 12 + np.zeros(PARTS)
    columns: dict[str, Any] = {"s2.machine": mill}
    feeds = []
    for k, effect in enumerate(EFFECT):
        steered = 0.5 * (12 - seen) / effect + 0.2 * rng.standard_normal(PARTS)
        feed = np.clip(np.where(drawn, 0.8 * rng.standard_normal(PARTS), steered), -3, 3)
        feeds.append(feed)
        x = x + effect * feed + 0.012 * rng.standard_normal(PARTS)
        x = x + (np.array([MILLS[m] for m in mill]) if k == 1 else LATE * feeds[0] if k == 2 else 0.0)
        seen = x + 0.01 * rng.standard_normal(PARTS)
        columns |= {f"s{k + 1}.feed": feed, f"s{k + 1}.diameter": seen}
    fixed = {"part": [f"P{i}" for i in range(PARTS)], "disposition": "finished"}
    return pd.DataFrame({**fixed, "assignment": np.where(drawn, "dither", "operator"), **columns})


@pytest.fixture(scope="module")
def interfaces(process: Process, table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> list[Interface]:
    """As they come back from their files."""
    folder = tmp_path_factory.mktemp("partners")
    for partner in ("P1", "P2"):
        write_whole(folder / partner, fit_partner(process, table, partner).text())
    return [read_interface(folder / partner) for partner in ("P1", "P2")]


@pytest.fixture(scope="module")
def joined(process: Process, interfaces: list[Interface]) -> ProcessModel:
    return join(process, interfaces)


@pytest.fixture(scope="module")
def pooled(process: Process, table: pd.DataFrame) -> ProcessModel:
    return fit(process, parse_history(table, process))


def test_late_effects_are_those_of_the_pooled_fit(pooled: ProcessModel, joined: ProcessModel) -> None:
    assert [m.late for m in joined.motions] == [m.late for m in pooled.motions] == [(), (), (0,), (), (), ()]
    for model in (pooled, joined):
        late = model.motions[2].weights[0, -1] * model.layout.scale[0] / model.layout.stretch[0]
        assert late == pytest.approx(LATE, abs=0.002)


def test_machines_are_those_of_the_pooled_fit_where_they_ran_enough_parts(
    pooled: ProcessModel, joined: ProcessModel
) -> None:
    theirs, ours = (m.machine_shifts[:, 1, 0] * m.layout.scale[0] for m in (pooled, joined))
    assert ours[:3] == pytest.approx(theirs[:3], abs=0.001)
    assert ours[3] == 0.0, "M4 ran forty parts"
    sure, own = (m.machine_surer[:3, 1, 0] * m.layout.scale[0] ** 2 for m in (pooled, joined))
    assert own == pytest.approx(sure, rel=0.1)


def test_the_advice_is_that_of_pooled_data(
    process: Process, pooled: ProcessModel, joined: ProcessModel, tmp_path: Path
) -> None:
    joined.save(tmp_path / "m")
    joined = load_model(tmp_path / "m")
    stake = process.value - process.escape
    chances, values, lost = [], [], []
    for mill in ("M1", "M2", "M3"):
        for feed, at in ((2.0, "s2"), (-1.5, "s2"), (1.0, "s3")):
            observed = {"s1.feed": feed, "s1.diameter": 12.0 + 0.05 * feed}
            if at == "s3":
                observed |= {"s2.feed": 0.0, "s2.diameter": 12.05 + MILLS[mill]}
            request = {"part": "P", "at": at, "observed": observed, "machines": {"s2": mill}}
            theirs, ours = (recommend(m, request) for m in (pooled, joined))
            chances.append(abs(theirs["p_conform"] - ours["p_conform"]))
            values.append(abs(theirs["expected_value"] - ours["expected_value"]))
            other = what_if(pooled, request, ours["settings"], ours["run"])["expected_value"]
            lost.append(theirs["expected_value"] - other)
    assert np.mean(chances) <= 0.02
    assert np.max(chances) <= 0.06
    assert np.mean(values) <= 0.02 * stake
    assert np.mean(lost) <= 0.01 * stake


def test_a_machine_that_the_process_does_not_know_is_refused(process: Process, interfaces: list[Interface]) -> None:
    first, second = interfaces
    (visit,) = first.visits
    mill = replace(visit.steps[1], machines={"M9": visit.steps[1].machines["M1"]})
    visit = replace(visit, steps=(visit.steps[0], mill, *visit.steps[2:]))
    with pytest.raises(InvalidInput, match="M9"):
        join(process, [replace(first, visits=(visit,)), second])
