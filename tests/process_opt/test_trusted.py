"""Operators who stand a little high on everything, each in his own way: rows drawn at random tell on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from process_opt import fit as fitting
from process_opt.estimate import prepare, start_estimate
from process_opt.fit import fit
from process_opt.history import History, parse_history
from process_opt.layout import lay_out
from process_opt.model import ProcessModel
from process_opt.simulate import Line, Truth, linear_line
from process_opt.trusted import FEWEST, people_mislead

ROWS = 1600


def leaning(steps: int, seed: int, by: float) -> Line:
    """A line whose operators put every setting of a part a little too high or too low, `by` half ranges as a standard
    deviation, whatever the part is like; what they lean to is carried along beside the part and acts on nothing."""
    line = linear_line(steps, seed, hidden_look=0.5)

    def carried(truth: Truth) -> Truth:
        assert truth.steer is not None
        steer = np.hstack([truth.steer, np.full((len(truth.steer), 1), 2 * by)])  # they see half of it
        noise = np.append(truth.noise, 0.0)
        return replace(
            truth, move=lambda x, v: np.hstack([truth.move(x[:, :-1], v), x[:, -1:]]), noise=noise, steer=steer
        )

    line.truths = [carried(truth) for truth in line.truths]
    line.centre, line.unit = np.append(line.centre, 0.0), np.append(line.unit, 1.0)
    line.start_sd, line.batch_sd = np.append(line.start_sd, 1.0), np.append(line.batch_sd, 0.0)
    return line


def asked(line: Line, history: History) -> bool:
    layout = lay_out(line.process, history)
    data = prepare(line.process, history, layout)
    return people_mislead(lambda few: start_estimate(line.process, layout, few), data)


def off(line: Line, model: ProcessModel) -> float:
    """Root mean square of how far the settings' effects are off, in the line's own units: they are some 0.45."""
    d, layout = model.layout.d, model.layout
    errors = []
    for k, (truth, motion) in enumerate(zip(line.truths, model.motions, strict=True)):
        nothing = np.zeros((1, line.centre.size))
        for j, place in enumerate(layout.levers[k]):
            v = np.zeros((1, len(layout.levers[k])))
            v[0, j] = 1.0
            true = (truth.move(nothing, v) - truth.move(nothing, 0 * v))[0, :d]
            setting = line.process.steps[k].settings[j]
            half = (setting.high - setting.low) / 2
            learnt = motion.weights[:, 1 + d + j] * layout.scale / line.unit[:d] * half / layout.stretch[place]
            errors.append(learnt - true)
    return float(np.sqrt(np.mean(np.square(errors))))


@pytest.mark.parametrize(("steps", "seed"), [(8, 2), (14, 1)])
def test_operators_who_lean_are_told_from_those_who_see_more_than_they_log(steps: int, seed: int) -> None:
    honest = linear_line(steps, seed, hidden_look=0.5)
    assert not asked(honest, parse_history(honest.history(ROWS, 1), honest.process))
    line = leaning(steps, seed, 0.3)
    assert asked(line, parse_history(line.history(ROWS, 1), line.process))


def test_with_few_drawn_rows_nothing_is_asked() -> None:
    line = leaning(4, 1, 0.4)
    table = line.history(600, 1)
    drawn = table.index[table["assignment"] == "dither"]
    assert not asked(line, parse_history(table.drop(drawn[FEWEST - 1 :]), line.process))


def test_effects_are_learnt_from_drawn_rows_where_people_lean(monkeypatch: pytest.MonkeyPatch) -> None:
    line = leaning(14, 1, 0.3)
    history = parse_history(line.history(ROWS, 1), line.process)
    model = fit(line.process, history)
    assert any("drawn ones alone" in note for note in model.about["notes"])
    monkeypatch.setattr(fitting, "people_mislead", lambda *_: False)
    assert off(line, model) < 0.5 * off(line, fit(line.process, history))
