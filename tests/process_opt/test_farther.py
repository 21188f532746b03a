"""What is done, and said, beyond what the history has seen settings vary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from process_opt.belief import Belief, believe
from process_opt.farther import DOUBT, doubt, far, told
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel
from process_opt.outlook import look_ahead
from process_opt.recommend import recommend
from process_opt.simulate import Line, linear_line

PARTS = 40


@pytest.fixture(scope="module")
def line() -> Line:
    """Its history varies each setting by a fourteenth of what its machine can do."""
    return linear_line(4, 5, states=1, levers=1, dither=1.0, dither_size=0.07, hardness=0.5)


@pytest.fixture(scope="module")
def model(line: Line) -> ProcessModel:
    return fit(line.process, parse_history(line.history(1200, 1), line.process))


@pytest.fixture(scope="module")
def belief(model: ProcessModel, line: Line) -> Belief:
    part = line.start(3)
    part.run_step(part.at or "")
    return believe(model, part.observed, 1)


def earned(line: Line, model: ProcessModel) -> tuple[float, list[str]]:
    """Money a part brings when advice is taken at every step, and what was advised."""
    money, decisions = [], []
    for seed in range(PARTS):
        part = line.start(1000 + seed)
        while part.at is not None:
            answer = recommend(model, {"part": f"P-{seed}", "at": part.at, "observed": part.observed})
            decisions.append(answer["decision"])
            if answer["decision"] == "scrap":
                break
            here = {name: value for name, value in answer["settings"].items() if name.startswith(f"{part.at}.")}
            part.run_step(part.at, here)
        paid = line.process.scrap if part.at else line.process.value if part.conforms() else line.process.escape
        money.append(paid - part.spent)
    return float(np.mean(money)), decisions


def test_beyond_what_was_seen_the_outlook_doubts_what_a_setting_does(model: ProcessModel, belief: Belief) -> None:
    t = model.tables
    places = np.arange(len(t.high))
    edge = np.where(t.step_of >= belief.at, t.high, 0.0)
    assert not far(t, places, edge).any()
    inside = look_ahead(model, belief, edge, frozenset())
    beyond = edge.copy()
    beyond[-1] += 1.5
    outside = look_ahead(model, belief, beyond, frozenset())
    added = (DOUBT * 1.5 * inside.gain[:, -1]) ** 2
    assert outside.cov[:, 0] - inside.cov[:, 0] == pytest.approx(added, rel=1e-9)
    two = np.array([0.7, 0.0, 2.0])
    gain = np.random.default_rng(0).normal(size=(2, 3, 4))
    by_hand = DOUBT**2 * sum(two[q] ** 2 * gain[:, q][:, None] * gain[:, q][None] for q in range(3))
    assert doubt(gain, two) == pytest.approx(by_hand)


def test_a_part_that_only_a_bold_correction_saves_is_corrected_and_the_reason_says_how_boldly(
    model: ProcessModel, line: Line
) -> None:
    held = replace(model.tables, least=model.tables.low, most=model.tables.high)
    timid = replace(model)
    timid.__dict__["tables"] = held
    much, bold = earned(line, model)
    little, before = earned(line, timid)
    assert much > little
    assert bold.count("scrap") < before.count("scrap")


def test_what_lies_beyond_is_named_with_what_was_seen(model: ProcessModel, line: Line) -> None:
    name = next(iter(line.process.settings))
    v = np.zeros(len(model.layout.nominal))
    assert told(model, v) == ""
    v[0] = model.tables.high[0] + 1
    sentence = told(model, v)
    assert name in sentence
    assert "unsure by half" in sentence
    seen = model.layout.nominal[0] + model.layout.stretch[0] * model.tables.high[0]
    assert f"{seen:.4g}" in sentence


def test_a_curve_is_never_followed_beyond_what_was_seen(model: ProcessModel) -> None:
    bent = replace(model)
    bent.__dict__["bent"] = tuple(True for _ in model.process.steps)
    t = bent.tables
    assert (t.least == t.low).all()
    assert (t.most == t.high).all()
    assert (model.tables.most > model.tables.high).any()
