"""Tool wear is followed: new parts are planned for the line as it is now, not as it was on average."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from process_opt.em import em
from process_opt.estimate import prepare, start_estimate
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.layout import lay_out
from process_opt.model import ProcessModel, load_model
from process_opt.simulate import Line, linear_line


@pytest.fixture(scope="module")
def worn() -> Line:
    return linear_line(7, 1, drift_sd=0.6, batch_size=25)


@pytest.fixture(scope="module")
def model(worn: Line) -> ProcessModel:
    return fit(worn.process, parse_history(worn.history(1500, 1), worn.process))


def now_against_average(seed: int, rows: int, size: float) -> float:
    """How far `Line.history` drifted from its average, drawn as it draws it."""
    rng = np.random.default_rng(seed)
    rng.standard_normal((rows, 3))
    rng.random(rows)
    walk = np.cumsum(rng.standard_normal(rows)) * size / np.sqrt(rows)
    return float(walk[-1] - walk.mean())


def test_the_model_stands_where_the_drift_has_brought_the_line(worn: Line, model: ProcessModel) -> None:
    true = now_against_average(1, 1500, 0.6)
    told = model.about["drift"]
    assert {"s01-op", "s06-op"} <= set(told)  # every fifth step of an imaginary line drifts
    for step in (told["s01-op"], told["s06-op"]):
        for name, value in step.items():
            place = list(worn.process.measurements).index(f"s01-op.{name}")
            assert value / worn.unit[model.layout.coordinate[place]] == pytest.approx(true, abs=0.1)


def test_where_drift_stands_survives_the_folder(model: ProcessModel, tmp_path) -> None:
    model.save(tmp_path / "m")
    assert load_model(tmp_path / "m").id == model.id


def test_a_line_that_stands_still_is_not_said_to_drift() -> None:
    from process_opt.drift import follow

    still = linear_line(8, 1, batch_sd=np.full(3, 0.1))
    history = parse_history(still.history(2000, 2), still.process)
    layout = lay_out(still.process, history)
    data = prepare(still.process, history, layout)
    estimate = em(start_estimate(still.process, layout, data), data, passes=8)
    assert (follow(estimate, data).sure < 0.95).all()


PIECES, ROWS, STEP = 8, 300, 2


def with_gain(gain: float) -> Line:
    """A line whose third step's settings do `gain` times what they usually do."""
    line = linear_line(4, 3, states=2, dither=0.6)
    old = line.truths[STEP]
    line.truths[STEP] = replace(old, move=lambda x, v: old.move(x, gain * v))
    return line


def effect_of(model: ProcessModel) -> NDArray[np.float64]:
    """Of the third step's first setting, standardised."""
    return np.asarray(model.motions[STEP].weights[:, 3])


@pytest.fixture(scope="module")
def fading() -> ProcessModel:
    gains = np.linspace(1.4, 0.4, PIECES)
    pieces = [with_gain(gain).history(ROWS, 20 + i) for i, gain in enumerate(gains)]
    line = with_gain(1.0)
    return fit(line.process, parse_history(pd.concat(pieces, ignore_index=True), line.process))


@pytest.fixture(scope="module")
def steady() -> ProcessModel:
    line = with_gain(1.0)
    return fit(line.process, parse_history(line.history(PIECES * ROWS, 30), line.process))


def test_a_setting_that_does_less_and_less_is_planned_with_as_it_is_now(
    fading: ProcessModel, steady: ProcessModel
) -> None:
    name = next(iter(steady.process.steps[STEP].settings)).name
    usual = effect_of(steady) * steady.layout.scale / steady.layout.stretch[list(steady.process.settings).index(name)]
    now = effect_of(fading) * fading.layout.scale / fading.layout.stretch[list(fading.process.settings).index(name)]
    gain = float(now @ usual / (usual @ usual))
    assert gain == pytest.approx(0.45, abs=0.15), "0.9 on average, 0.4 at the end"
    said = {note.split()[0] for note in fading.about["notes"] if "does not do" in note}
    assert name in said
    assert said <= {setting.name for setting in steady.process.steps[STEP].settings}


def test_settings_that_do_what_they_did_stay_as_they_are_known(steady: ProcessModel) -> None:
    assert not any("does not do" in note for note in steady.about["notes"])
