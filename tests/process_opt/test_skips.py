"""Settings that come to light only steps later, by something of the part that nobody measures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from process_opt.belief import believe
from process_opt.causes import causes
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel, load_model
from process_opt.outlook import look_ahead
from process_opt.recommend import recommend
from process_opt.simulate import Line, crossed_line, linear_line
from process_opt.truth import true_fate


@pytest.fixture(scope="module")
def sprung() -> tuple[Line, ProcessModel]:
    """A line of 14 steps with three effects that skip one step, and its model."""
    line = crossed_line(14, 2, strength=1.0, hidden_look=0.5)
    return line, fit(line.process, parse_history(line.history(3000, 1), line.process))


def test_a_setting_that_comes_to_light_steps_later_is_found(sprung: tuple[Line, ProcessModel]) -> None:
    line, model = sprung
    settings = list(line.process.settings)
    found = {(k, settings[place]) for k, motion in enumerate(model.motions) for place in motion.late}
    begins = [int(14 * share) for share in (0.2, 0.45, 0.7)]
    assert found == {(k + 2, f"{line.process.steps[k].name}.lever1") for k in begins}


def test_on_a_line_without_such_effects_none_is_found() -> None:
    line = linear_line(8, 3, hidden_look=0.5, batch_sd=np.full(3, 0.05), drift_sd=0.1)
    model = fit(line.process, parse_history(line.history(2000, 1), line.process))
    assert not any(motion.late for motion in model.motions)


def test_what_was_set_before_the_present_step_and_is_still_to_come_is_foreseen(
    sprung: tuple[Line, ProcessModel],
) -> None:
    line, model = sprung
    part = line.start(5)
    origin = int(14 * 0.45)
    lever = f"{line.process.steps[origin].name}.lever1"
    high = line.process.settings[lever][1].high
    while part.next <= origin:
        part.run_step(str(part.at), {lever: high} if part.next == origin else {})
    ahead = look_ahead(
        model, believe(model, part.observed, part.next), np.zeros(len(model.layout.nominal)), frozenset()
    )
    truth = true_fate(line, part.observed, part.next, {})
    names = list(line.process.measurements)
    places = [names.index(name) for name in line.process.conformance]
    scale = model.layout.scale[model.layout.coordinate[places]]
    middle = model.layout.mean[places] + scale * ahead.mean.mean(axis=1)
    assert np.abs((middle - truth.mean) / truth.sd).max() < 0.15


def test_the_step_that_set_it_is_named_as_its_cause_not_the_one_where_it_shows(
    sprung: tuple[Line, ProcessModel],
) -> None:
    line, model = sprung
    origin = int(14 * 0.45)
    lever = f"{line.process.steps[origin].name}.lever1"
    setting = line.process.settings[lever][1]

    def shares(value: float) -> dict[str, float]:
        part = line.start(9)
        while part.next <= origin + 2:
            part.run_step(str(part.at), {lever: value} if part.next == origin else {})
        return {c["step"]: c["share"] for c in causes(model, part.observed, part.next)[0]}

    named = shares(setting.high)
    shown = line.process.steps[origin + 2].name
    assert max(named, key=lambda step: named[step]) == line.process.steps[origin].name
    assert named.get(shown, 0.0) < 0.1


def test_such_a_model_comes_back_from_its_folder_and_says_so_in_its_report(
    sprung: tuple[Line, ProcessModel], tmp_path: Path
) -> None:
    line, model = sprung
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.id == model.id
    part = line.start(3)
    for _ in range(5):
        part.run_step(str(part.at), {})
    request = {"part": "P", "at": str(part.at), "observed": part.observed}
    first, second = recommend(model, request), recommend(again, request)
    assert {**first, "elapsed_ms": 0} == {**second, "elapsed_ms": 0}
    late = [e["setting"] for step in model.report()["steps"] for e in step["late"]]
    assert len(late) == 3
    assert "comes late" in (tmp_path / "model" / "report.html").read_text(encoding="utf-8")
