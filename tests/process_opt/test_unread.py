"""A reading that the process file names but no part of the history has: nobody knows where it lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.law import levels
from process_opt.learn import update
from process_opt.model import ProcessModel, load_model
from process_opt.process import parse_process
from process_opt.recommend import recommend
from process_opt.simulate import Line, linear_line
from process_opt.what_if import what_if

NEW = "s03-op.length"
"""A gauge that came after the history."""


@pytest.fixture(scope="module")
def line() -> Line:
    return linear_line(4, 0, states=2)


@pytest.fixture(scope="module")
def model(line: Line) -> ProcessModel:
    return fit(line.process, parse_history(line.history(400, 1).drop(columns=NEW), line.process))


def question(line: Line, seed: int) -> dict[str, Any]:
    part = line.start(seed)
    for _ in range(3):
        part.run_step(part.at or "")
    return {"part": "P", "at": part.at, "observed": part.observed}


def said(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in ("reason", "notes", "elapsed_ms")}


def test_a_reading_that_no_history_held_changes_nothing_and_the_answer_says_so(
    line: Line, model: ProcessModel, tmp_path
) -> None:
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.id == model.id
    for seed in range(5):
        asked = question(line, seed)
        gap = {**asked, "observed": {n: v for n, v in asked["observed"].items() if n != NEW}}
        answer, without = recommend(again, asked), recommend(again, gap)
        assert said(answer) == said(without)
        assert answer["reason"] == f"{without['reason']} Not used, as the history never held such a reading: {NEW}."
        assert NEW not in {told["reading"] for told in answer["readings"]}, "taking it would tell nothing"
    assert NEW not in without["reason"]


def test_what_such_a_reading_will_be_is_not_foretold(line: Line, model: ProcessModel) -> None:
    part = line.start(1)
    part.run_step("s01-op")
    answer = what_if(model, {"part": "P", "at": part.at, "observed": part.observed}, {})
    assert [set(step["readings"]) for step in answer["path"]] == [
        {"s02-op.length", "s02-op.angle"}, {"s03-op.angle"}, {"s04-op.length", "s04-op.angle"},
    ]  # fmt: skip


def test_an_outcome_with_such_a_reading_teaches_as_one_without_it(line: Line, model: ProcessModel) -> None:
    part = line.start(3)
    while part.at is not None:
        part.run_step(part.at)
    told = {"part": "P", "disposition": "finished", "assignment": "dither", "observed": part.observed}
    gap = {**told, "observed": {n: v for n, v in part.observed.items() if n != NEW}}
    taught, without = update(model, [told]), update(model, [gap])
    for one, other in zip(taught.motions, without.motions, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)


def test_a_formula_is_not_worked_out_where_an_unread_gauge_stands() -> None:
    coat = {"unit": "um", "gauge_sd": 0.1}
    process = parse_process(
        {
            "name": "plating",
            "part": {"value": 1.0, "scrap": 0.0, "escape": -1.0},
            "conformance": ["check.coat"],
            "steps": [
                {"name": "clean", "measurements": {"coat": coat}},
                {
                    "name": "plate",
                    "settings": {"time": {"unit": "min", "low": 1, "high": 9, "nominal": 5}},
                    "measurements": {"coat": coat},
                    "formula": {"coat": "coat + rate * time"},
                    "constants": {"rate": {"unit": "um/min", "prior": {"mean": 2.0, "sd": 0.1}}},
                },
                {"name": "check", "measurements": {"coat": {**coat, "lower": 10, "upper": 16}}},
            ],
        }
    )
    read, unread = (levels(process, np.array([3.0, after, 13.5]))[:, 0] for after in (12.0, np.nan))
    assert read.tolist() == [3.0, 3.0, 12.0, 13.5]
    assert unread.tolist() == pytest.approx([3.0, 3.0, 13.0, 13.5]), "what the formula makes of it"
    assert levels(process, np.full(3, np.nan))[0, 0] == 13.0, "the middle of its limits where it was never read"
