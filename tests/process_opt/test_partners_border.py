"""A border that nobody measures: what cannot be learnt without pooling, and that the joined model says so."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from process_opt.model import ProcessModel
from process_opt.partners.interface import parse_interface
from process_opt.partners.joining import join
from process_opt.partners.local import fit_partner
from process_opt.partners.visit import seen_by, visits
from process_opt.process import parse_process
from process_opt.recommend import recommend
from process_opt.simulate import Line, linear_line
from qc.errors import InvalidInput


@pytest.fixture(scope="module")
def line() -> Line:
    """Steps 2 and 4 of 4 are read; partner P1 hands the parts over after step 3."""
    line = linear_line(4, 4, states=2, every=2)
    content = json.loads(json.dumps(dict(line.process.source)))
    for k, step in enumerate(content["steps"]):
        step["partner"] = "P1" if k < 3 else "P2"
    line.process = parse_process(content)
    return line


@pytest.fixture(scope="module")
def joined(line: Line) -> ProcessModel:
    table = line.history(500, 1)
    made = [fit_partner(line.process, table, p).text() for p in ("P1", "P2")]
    return join(line.process, [parse_interface(json.loads(text), where="interface") for text in made])


def test_settings_after_which_nothing_is_read_before_the_border_are_not_identified(joined: ProcessModel) -> None:
    assert [n for n, known in joined.identified.items() if not known] == ["s03-op.lever1", "s03-op.lever2"]


def test_the_report_says_what_a_reading_at_the_border_would_tell(joined: ProcessModel) -> None:
    notes = " ".join(joined.report()["history"]["notes"])
    assert "between s03-op and s04-op nobody reads length" in notes
    assert "a reading at the border would tell" in notes


def test_across_the_border_it_is_never_falsely_sure(line: Line, joined: ProcessModel) -> None:
    """Left alone, parts conform as often as promised, although how they go on there was not learnt one by one."""
    promised, kept = [], []
    for seed in range(100):
        part = line.start(5000 + seed)
        for step in line.process.steps[:2]:
            part.run_step(step.name)
        request = {"part": "p", "at": "s03-op", "observed": dict(part.observed)}
        answer = recommend(joined, request)
        alone = next((a for a in answer["alternatives"] if a["decision"] == "continue"), answer)
        promised.append(alone["p_conform"])
        for step in line.process.steps[2:]:
            part.run_step(step.name)
        kept.append(part.conforms())
        assert not any(name.startswith("s03") for name in answer["settings"])
    sure = np.array(promised) > 0.8
    assert abs(np.mean(promised) - np.mean(kept)) < 0.1
    assert not sure.any() or np.mean(np.array(kept)[sure]) > np.mean(np.array(promised)[sure]) - 0.1


def test_what_nobody_upstream_reads_is_wide_for_plans_that_move_settings_there() -> None:
    """`angle` is first read by P2: what P1's settings do to it is open, and a plan that moves them is less sure."""
    line = linear_line(2, 4, states=2)
    content = json.loads(json.dumps(dict(line.process.source)))
    for k, step in enumerate(content["steps"]):
        step["partner"] = "P1" if k < 1 else "P2"
        if k < 1:
            del step["measurements"]["angle"]
    line.process = parse_process(content)
    table = linear_line(2, 4, states=2).history(300, 1).drop(columns=["s01-op.angle"])
    made = [fit_partner(line.process, table, p) for p in ("P1", "P2")]
    model = join(line.process, made)
    place = model.layout.coordinates.index("angle")
    effects = model.draws[0][place, 3:5]
    assert abs(effects.mean()) < 0.05
    assert effects.std() == pytest.approx(made[0].visits[0].lever_size, rel=0.3)
    assert any(note.startswith("angle is read by nobody before s02-op") for note in model.about["notes"])


def test_a_formula_uses_what_came_over_the_border() -> None:
    """P2 plates: the coat is rate x bath x time, the bath's strength comes with the part, the rate is to be found."""
    content: dict[str, Any] = {
        "name": "plate", "part": {"value": 40, "scrap": 1, "escape": -50}, "conformance": ["s2-plate.coat"],
        "steps": [
            {"name": "s1-bath", "partner": "P1", "settings": {"dose": {"low": 0, "high": 2, "nominal": 1}},
             "measurements": {"bath": {"unit": "g/l", "gauge_sd": 0.5}}},
            {"name": "s2-plate", "partner": "P2",
             "settings": {"time": {"unit": "min", "low": 5, "high": 15, "nominal": 10}},
             "measurements": {"coat": {"unit": "um", "gauge_sd": 0.2, "lower": 14, "upper": 22}},
             "formula": {"coat": "rate * bath * time"},
             "constants": {"rate": {"unit": "um*l/(g*min)", "prior": {"mean": 0.04, "sd": 0.01}}}},
        ],
    }  # fmt: skip
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((5, 300))
    dose, time = np.clip(1 + 0.3 * noise[0], 0, 2), np.clip(10 + 1.5 * noise[1], 5, 15)
    bath = 30 + 5 * noise[2] + 4 * (dose - 1)
    table = pd.DataFrame(
        {
            "part": [f"a{i}" for i in range(300)],
            "disposition": "finished",
            "assignment": "dither",
            "s1-bath.dose": dose,
            "s1-bath.bath": bath + 0.5 * noise[3],
            "s2-plate.time": time,
            "s2-plate.coat": 0.05 * bath * time + 0.4 * noise[4],
        }
    )
    process = parse_process(content)
    model = join(process, [fit_partner(process, table, p) for p in ("P1", "P2")])
    layout = model.layout
    for strength, minutes in ((30.0, 10.0), (36.0, 8.0), (25.0, 13.0)):
        x = np.zeros((2, 1))
        x[layout.coordinates.index("bath")] = layout.readings(np.array([strength, 15.0]))[0]
        v = layout.settings(np.array([1.0, minutes]))[1:, None]
        place = layout.coordinates.index("coat")
        coat = model.motions[1].move(v, x)[place, 0] * layout.scale[place] + layout.mean[1]
        assert coat == pytest.approx(0.05 * strength * minutes, rel=0.02)
    steps = content["steps"]
    washed = parse_process({**content, "steps": [steps[0], {"name": "s1b-wash", "partner": "P1"}, steps[1]]})
    with pytest.raises(InvalidInput, match="the formula of s2-plate uses bath, which partner P2 does not read"):
        seen_by(washed, visits(washed)[1])
