"""Tool wear is followed: new parts are planned for the line as it is now, not as it was on average."""

from __future__ import annotations

import numpy as np
import pytest

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
