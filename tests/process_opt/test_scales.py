"""Columns and rows of a history in another unit: found where the history contradicts them, honest ones let through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from process_opt.history import parse_history
from process_opt.plant import bar_line
from process_opt.process import Process, parse_process
from process_opt.scales import check_units, said, times
from process_opt.simulate import Line, linear_line
from qc.errors import InvalidInput

LINE = linear_line(4, 0)
SETTING, MIDDLE = "s02-op.lever1", "s02-op.length"
TABLES = Path(__file__).parents[3] / "shared" / "data"


def alone() -> Process:
    """The line with one look on the way at one characteristic, without limits: nothing stands beside it."""
    source = dict(LINE.process.source)
    steps = [dict(step) for step in source["steps"]]
    for step in (steps[0], steps[2]):
        step["measurements"] = {}
    steps[1]["measurements"] = {"length": dict(steps[1]["measurements"]["length"])}
    return parse_process({**source, "steps": steps})


def table(rows: int = 300) -> pd.DataFrame:
    made = LINE.history(rows, 1)
    known = {"part", "batch", "disposition", "scrapped_at", "assignment", *alone().settings, *alone().measurements}
    return made[[c for c in made.columns if c in known]]


@pytest.mark.parametrize("factor", [1000, 1 / 1000, 1 / 25.4])
def test_a_reading_without_limits_and_namesakes_is_held_against_its_gauge(factor: float) -> None:
    with pytest.raises(InvalidInput, match=r"s02-op\.length varies by .* its gauge alone .* unit"):
        parse_history(table().assign(**{MIDDLE: table()[MIDDLE] * factor}), alone())


@pytest.mark.parametrize("factor", [1000, 1 / 1000, 25.4, 1 / 25.4, 10, 0.1])
@pytest.mark.parametrize(
    ("rows", "told"),
    [(slice(100, 199), "rows 102 to 201"), (slice(0, 139), "rows 2 to 141"), (slice(17, 17), "row 19")],
)
def test_rows_on_another_scale_are_told_with_their_factor(rows: slice, told: str, factor: float) -> None:
    made = table()
    made.loc[rows, MIDDLE] *= factor
    with pytest.raises(InvalidInput, match=rf"{told}: s02-op\.length .*{said(times(factor) or 1)}"):
        parse_history(made, alone())


@pytest.mark.parametrize("factor", [25.4, 1 / 25.4, 10, 0.1])
def test_a_look_between_two_that_agree_is_told_with_its_factor(factor: float) -> None:
    made = LINE.history(300, 1)
    made[MIDDLE] *= factor
    with pytest.raises(InvalidInput, match=r"s02-op\.length .*unit"):
        parse_history(made, LINE.process)


@pytest.mark.parametrize("factor", [25.4, 1 / 25.4, 10, 0.1])
def test_a_deciding_reading_is_held_against_its_limits(factor: float) -> None:
    made = table()
    made["s04-op.length"] *= factor
    with pytest.raises(InvalidInput, match=r"s04-op\.length .*limits.*as if .*unit"):
        parse_history(made, alone())


def roomy() -> Process:
    """The machine allows the setting to go down to nothing, so that a small one is possible."""
    source = dict(LINE.process.source)
    steps = [dict(step) for step in source["steps"]]
    lever = {**steps[1]["settings"]["lever1"], "low": 0.0}
    steps[1]["settings"] = {**steps[1]["settings"], "lever1": lever}
    return parse_process({**source, "steps": steps})


@pytest.mark.parametrize("factor", [1 / 1000, 1 / 25.4, 0.1])
def test_a_setting_is_held_against_its_nominal_value_and_its_other_rows(factor: float) -> None:
    whole, part = LINE.history(300, 1), LINE.history(300, 1)
    whole[SETTING] *= factor
    part.loc[200:, SETTING] *= factor
    with pytest.raises(InvalidInput, match=rf"s02-op\.lever1 .*{said(times(factor) or 1)} its nominal"):
        parse_history(whole, roomy())
    with pytest.raises(InvalidInput, match=rf"rows 202 to 301: s02-op\.lever1 .*{said(times(factor) or 1)}"):
        parse_history(part, roomy())


def two_machines(made: pd.DataFrame) -> pd.DataFrame:
    """Every other part is run on a machine that makes it four standard deviations longer and half as evenly."""
    other = np.arange(len(made)) % 2 == 1
    x = made[MIDDLE]
    return made.assign(**{MIDDLE: np.where(other, x.mean() + 4 * x.std() + 0.5 * (x - x.mean()), x)})


def drifting(made: pd.DataFrame) -> pd.DataFrame:
    """Far off at the end, ten times where it began, but gradually."""
    return made.assign(**{MIDDLE: made[MIDDLE] * np.geomspace(1, 10, len(made))})


def two_products(made: pd.DataFrame) -> pd.DataFrame:
    """A product ten times as long, held as closely."""
    long = np.arange(len(made)) >= 150
    return made.assign(**{MIDDLE: made[MIDDLE] + np.where(long, 9 * made[MIDDLE].mean(), 0.0)})


def two_recipes(made: pd.DataFrame) -> pd.DataFrame:
    """People run a third of the parts at a tenth of the usual setting, as exactly."""
    people = (made["assignment"] == "operator").to_numpy() & (np.arange(len(made)) >= 200)
    return made.assign(**{SETTING: np.where(people, made[SETTING].mean() / 10, made[SETTING])})


@pytest.mark.parametrize("honest", [two_machines, drifting, two_products, two_recipes])
def test_what_happens_honestly_is_let_through(honest: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    process = roomy()
    # the gauge and the looks beside speak of the whole column, and a product ten times as long has its own
    free = {name: replace(m, gauge_sd=None) for name, (_, m) in process.measurements.items()}
    steps = tuple(
        replace(step, measurements=tuple(free[m.name] for m in step.measurements if k in (1, 3)))
        for k, step in enumerate(process.steps)
    )
    made = honest(LINE.history(300, 1))
    known = {m.name for step in steps for m in step.measurements} | {c for c in made if ".lever" in c}
    kept = made[[c for c in made if "." not in c or c in known]]
    assert parse_history(kept, replace(process, steps=steps)).size == 300


def test_a_few_readings_that_lie_close_by_chance_say_nothing_of_the_gauge() -> None:
    rare = bar_line(19)  # its last rework step was run on five of these parts
    assert parse_history(rare.history(60, 19), rare.process).size == 60


def test_one_part_far_off_in_a_column_that_scatters_is_no_slip() -> None:
    """Of six hundred parts that scatter by a quarter of themselves, the furthest comes near a tenth of the others."""
    demonstration = bar_line(0)
    assert parse_history(demonstration.history(600, 4), demonstration.process).size == 600
    made = table(600)
    rng = np.random.default_rng(5)
    made[MIDDLE] = 12 + 3 * rng.standard_normal(600)
    made.loc[368, MIDDLE] = 1.3
    process = alone()
    steps = tuple(
        replace(step, measurements=tuple(replace(m, gauge_sd=None) for m in step.measurements))
        for step in process.steps
    )
    assert parse_history(made, replace(process, steps=steps)).size == 600


@pytest.mark.parametrize(
    "line",
    [
        linear_line(10, 1, drift_sd=3.0, batch_sd=np.full(3, 0.6), missing=0.6),
        linear_line(8, 2, dither=0.0, hidden_look=0.8),
        bar_line(0),
    ],
    ids=["drift", "no dither", "bar"],
)
def test_honest_lines_are_let_through(line: Line) -> None:
    for rows in (30, 400):
        assert parse_history(line.history(rows, 3), line.process).size == rows


@pytest.mark.skipif(not TABLES.is_dir(), reason="the real tables are not here")
@pytest.mark.parametrize("name", ["process_chem_yield", "process_steel_plates_faults"])
def test_no_column_of_a_real_table_is_taken_for_another_unit(name: str) -> None:
    figures = pd.read_csv(TABLES / name / "data.csv").select_dtypes("number").drop(columns="row")
    content = {
        "name": "table",
        "part": {"value": 1.0, "scrap": 0.0, "escape": -1.0},
        "conformance": ["look.c0"],
        "steps": [
            {
                "name": "set",
                "settings": {
                    f"c{j}": {"low": -1e12, "high": 1e12, "nominal": float(figures[c].median())}
                    for j, c in enumerate(figures)
                },
            },
            {"name": "look", "measurements": {"c0": {"upper": 1.0}}},
        ],
    }
    values = figures.to_numpy(dtype=float)
    half = np.arange(len(values)) % 2 == 0
    process = parse_process(content)
    for order in (np.arange(len(values)), np.random.default_rng(0).permutation(len(values))):
        check_units(values[order], np.full((len(values), 1), np.nan), half, process, name)
