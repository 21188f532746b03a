"""Settings that can only be put to certain values: what is advised is one of them, and the rest is
planned around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from process_opt.batch_plan import Member, decide_batch
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel, load_model
from process_opt.process import Process, parse_process
from process_opt.recipe.steps import network_of
from process_opt.recommend import recommend
from process_opt.serving import allowing
from qc.errors import InvalidInput

TOOLS = np.array([0.0, 1.2, -0.8])
"""What each tool does to the length, mm: not in the order of their numbers."""


def process(**tool: Any) -> Process:
    return parse_process(
        {
            "name": "pins",
            "part": {"value": 30.0, "scrap": 1.0, "escape": -60.0},
            "conformance": ["s4-end.length"],
            "steps": [
                {"name": "s1-cut", "measurements": {"length": {"unit": "mm", "gauge_sd": 0.05}}},
                {
                    "name": "s2-form",
                    "settings": {"tool": {"low": 0, "high": 2, "nominal": 0, "change_cost": 0.2} | tool},
                },
                {
                    "name": "s3-trim",
                    "settings": {"stop": {"unit": "mm", "low": -1, "high": 1, "nominal": 0, "change_cost": 0.5}},
                },
                {
                    "name": "s4-end",
                    "measurements": {"length": {"unit": "mm", "gauge_sd": 0.05, "lower": 9.6, "upper": 10.4}},
                },
            ],
        }
    )


def history(n: int = 600, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = 10 + 0.6 * rng.standard_normal(n)
    tool = rng.integers(0, 3, n)
    stop = np.clip(0.2 * rng.standard_normal(n), -1, 1)
    end = x + TOOLS[tool] + stop + 0.1 * rng.standard_normal(n)
    return pd.DataFrame(
        {
            "part": [f"P{i}" for i in range(n)],
            "disposition": "finished",
            "assignment": "dither",
            "s1-cut.length": x + 0.05 * rng.standard_normal(n),
            "s2-form.tool": tool,
            "s3-trim.stop": stop,
            "s4-end.length": end + 0.05 * rng.standard_normal(n),
        }
    )


@pytest.fixture(scope="module")
def model() -> ProcessModel:
    line = process(values=[0, 1, 2])
    return fit(line, parse_history(history(), line))


def ask(model: ProcessModel, length: float, **more: Any) -> dict[str, Any]:
    return recommend(model, {"part": "P", "at": "s2-form", "observed": {"s1-cut.length": length}, **more})


@pytest.mark.parametrize(("length", "tool"), [(8.5, 1.0), (8.9, 1.0), (11.1, 2.0), (10.9, 2.0)])
def test_the_tool_that_fits_is_chosen_and_the_rest_is_planned_around_it(
    model: ProcessModel, length: float, tool: float
) -> None:
    answer = ask(model, length)
    assert answer["decision"] == "correct"
    assert answer["settings"]["s2-form.tool"] == tool
    left = length + TOOLS[int(tool)] + answer["settings"].get("s3-trim.stop", 0.0) - 10
    assert abs(left) < 0.25, "the stop makes up for what the tool leaves"
    assert answer["p_conform"] > 0.9


def test_a_part_that_fits_keeps_its_nominal_tool(model: ProcessModel) -> None:
    assert ask(model, 10.0)["decision"] == "continue"


def test_a_tool_that_is_decided_already_is_planned_around(model: ProcessModel) -> None:
    answer = ask(model, 10.4, decided={"s2-form.tool": 2})
    assert "s3-trim.stop" in answer["settings"]
    with pytest.raises(InvalidInput, match=r"s2-form\.tool = 1\.5 is impossible, the machine allows only 0, 1, 2"):
        ask(model, 10.4, decided={"s2-form.tool": 1.5})


def test_a_value_that_the_history_hardly_saw_is_not_advised() -> None:
    line = process(values=[0, 1, 2])
    table = history()
    table = table.drop(index=np.flatnonzero(table["s2-form.tool"] == 2)[5:]).reset_index(drop=True)
    few = fit(line, parse_history(table, line))
    assert ask(few, 11.1)["settings"].get("s2-form.tool") != 2.0
    assert ask(few, 8.9)["settings"]["s2-form.tool"] == 1.0


def test_whole_numbers_without_a_unit_are_taken_for_a_choice_and_a_note_says_so(model: ProcessModel, tmp_path) -> None:
    told = process()
    read = parse_history(history(), told)
    assert any("s2-form.tool has no unit and only stood at 0, 1, 2" in note for note in read.notes)
    found = fit(told, read)
    assert found.choices.keys() == model.choices.keys()
    found.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.choices.keys() == model.choices.keys()
    for length in (8.6, 9.3, 10.7, 11.2):
        assert ask(again, length)["settings"].get("s2-form.tool", 0.0) in (0.0, 1.0, 2.0)


def test_a_setting_with_a_unit_may_stand_between(model: ProcessModel) -> None:
    line = process(unit="bar")
    read = parse_history(history(), line)
    assert not any("only stood at" in note for note in read.notes)
    assert not fit(line, read).choices


def test_a_batch_shares_a_tool_and_exploring_takes_one(model: ProcessModel) -> None:
    requests = [{"part": f"P{i}", "at": "s2-form", "observed": {"s1-cut.length": 8.5 + 0.2 * i}} for i in range(5)]
    told = decide_batch(model, [Member(r, recommend(model, r)) for r in requests])
    assert all(plan["settings"].get("s2-form.tool", 0.0) in (0.0, 1.0, 2.0) for plan in told["plans"])
    curious = allowing(model, {"explore": {"price": 20.0, "chance": 0.5, "steps": ["s2-form", "s3-trim"]}})
    answers = [recommend(curious, r | {"part": f"Q{i}"}) for i, r in enumerate(requests * 4)]
    assert any("explored" in answer for answer in answers)
    assert {answer["settings"].get("s2-form.tool", 0.0) for answer in answers} <= {0.0, 1.0, 2.0}


def test_the_recipe_moves_no_choice(model: ProcessModel) -> None:
    assert [one.name for one in network_of(model).network.inputs] == ["s3-trim.stop"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2], "nominal 0 must be one of the values"),
        ([0, 1, 7], "values must lie between low 0 and high 2"),
        ([0], "values must be a list of two or more numbers"),
        ("0, 1", "values must be a list of two or more numbers"),
        ([0, "one"], "values must be a number"),
    ],
)
def test_values_that_make_no_sense_are_refused(values: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        process(values=values)


def test_a_history_with_another_value_is_refused() -> None:
    table = history(60).astype({"s2-form.tool": float})
    table.loc[7, "s2-form.tool"] = 0.5
    with pytest.raises(
        InvalidInput, match=r"row 9: s2-form\.tool = 0\.5 is impossible, the machine allows only 0, 1, 2"
    ):
        parse_history(table, process(values=[0, 1, 2]))
