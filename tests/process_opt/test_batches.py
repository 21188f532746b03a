"""Parts of one batch have something in common, and the advice knows it."""

from __future__ import annotations

import numpy as np
import pytest

from process_opt.belief import believe
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import load_model
from process_opt.recommend import recommend
from process_opt.simulate import linear_line


def test_a_batch_starts_from_what_its_other_parts_showed(tmp_path) -> None:
    line = linear_line(6, 2, batch_sd=np.full(3, 0.3), batch_size=50)
    model = fit(line.process, parse_history(line.history(1500, 1), line.process))
    names = model.about["batches"]
    told, true = [], []
    for k in range(6):
        effect = 0.3 * np.random.default_rng([k, 7]).standard_normal((30, 3)) * line.unit / model.layout.scale
        true.append(effect - effect.mean(axis=0))
        told.append(np.array([model.shifts[names.index(f"B1-{b}")][k] for b in range(30)]))
    assert np.corrcoef(np.ravel(told), np.ravel(true))[0, 1] > 0.9
    at = line.process.steps[3].name
    question = {"part": "P", "at": at, "observed": {}}
    known, unknown = ({**question, "batch": b} for b in (names[0], "new"))
    assert recommend(model, unknown) == recommend(model, question) | {
        "elapsed_ms": pytest.approx(0, abs=1e9),
        "part": "P",
    }
    assert recommend(model, known)["model"] == model.id
    assert not np.allclose(believe(model.made_by(names[0]), {}, 3).mean, believe(model, {}, 3).mean)
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m")
    first, second = recommend(model, known), recommend(again, known)
    first.pop("elapsed_ms"), second.pop("elapsed_ms")
    assert first == second


def test_batches_that_do_not_differ_are_not_told_apart() -> None:
    line = linear_line(5, 2)
    model = fit(line.process, parse_history(line.history(1000, 1), line.process))
    assert not model.shifts.size or np.abs(model.shifts).max() < 0.05
