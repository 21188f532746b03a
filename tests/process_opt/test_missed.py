"""A reading that decides conformance and was not taken when the part passed its step: it still decides."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from process_opt.belief import believe
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel
from process_opt.outlook import look_ahead, probabilities
from process_opt.process import parse_process
from process_opt.recommend import recommend
from process_opt.simulate import Line, Part, linear_line

EARLY = "s02-op.length"
"""Read half way, with limits that four parts in ten keep."""


@pytest.fixture(scope="module")
def line() -> Line:
    """What is read at the end keeps its limits nearly always."""
    line = linear_line(4, 0, states=2, hardness=2.5)
    content = copy.deepcopy(dict(line.process.source))
    reading, seen = content["steps"][1]["measurements"]["length"], line.history(800, 1)[EARLY]
    reading |= {"lower": float(seen.mean() - 0.7 * seen.std()), "upper": float(seen.mean() + 0.7 * seen.std())}
    content["conformance"].append(EARLY)
    line.process = parse_process(content)
    return line


@pytest.fixture(scope="module")
def model(line: Line) -> ProcessModel:
    return fit(line.process, parse_history(line.history(800, 1), line.process))


def gone(line: Line, seed: int, steps: int) -> tuple[Part, dict[str, float]]:
    """A part after some steps, and what is known of it where nobody took the early reading."""
    part = line.start(seed)
    for _ in range(steps):
        part.run_step(part.at or "")
    return part, {name: value for name, value in part.observed.items() if name != EARLY}


@pytest.mark.parametrize("steps", [2, 3])
def test_what_was_missed_is_in_the_chance_as_far_as_all_other_readings_tell_of_it(
    line: Line, model: ProcessModel, steps: int
) -> None:
    limits = line.process.measurements[EARLY][1]
    promised, came = np.zeros(400), np.zeros(400, dtype=bool)
    for seed in range(400):
        part, known = gone(line, seed, steps)
        ahead = look_ahead(model, believe(model, known, steps), np.zeros(len(model.layout.nominal)), frozenset())
        promised[seed] = probabilities(ahead).mean()
        while part.at is not None:
            part.run_step(part.at)
        came[seed] = part.conforms()
        assert came[seed] <= (limits.lower <= part.observed[EARLY] <= limits.upper)
    for low, high in ((0.0, 0.1), (0.1, 0.5), (0.5, 1.0)):
        mine = (promised >= low) & (promised < high)
        sd = np.sqrt((promised[mine] * (1 - promised[mine])).sum()) / mine.sum()
        assert mine.sum() > 20
        assert promised[mine].mean() == pytest.approx(came[mine].mean(), abs=3 * sd + 0.02)


def test_a_part_that_hangs_on_what_was_missed_is_measured_and_one_that_surely_failed_is_scrapped(
    line: Line, model: ProcessModel
) -> None:
    def asked(part: Part, known: dict[str, float]) -> dict[str, Any]:
        return recommend(model, {"part": "P", "at": part.at, "observed": known})

    answers = [(asked(*gone(line, seed, 2)), gone(line, seed, 2)[0]) for seed in range(8)]
    assert {answer["decision"] for answer, _ in answers} == {"measure", "scrap"}
    for answer, part in answers:
        if answer["decision"] == "measure":
            assert answer["measure"] == [EARLY]
        whole = asked(part, part.observed)
        assert whole["measure"] == []
        limits = line.process.measurements[EARLY][1]
        assert (whole["p_conform"] > 0.5) == (limits.lower <= part.observed[EARLY] <= limits.upper)


def test_one_draw_alone_sees_such_a_part_as_it_does_among_all(line: Line, model: ProcessModel) -> None:
    _, known = gone(line, 1, 3)
    belief, plan = believe(model, known, 3), np.zeros(len(model.layout.nominal))
    sure = replace(model, check={})  # a draw has an opinion of the model's form only among others
    alone = replace(sure, draws=tuple(drawn[:, :, 5:6] for drawn in model.draws))
    one, every = look_ahead(alone, belief.in_draw(5), plan, frozenset()), look_ahead(sure, belief, plan, frozenset())
    assert one.deciding == every.deciding == (0, 1, 2)
    assert one.mean[:, 0] == pytest.approx(every.mean[:, 5])
