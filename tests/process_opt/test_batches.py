"""Parts of one batch have something in common, and the advice knows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from process_opt.belief import believe
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.learn import update
from process_opt.model import ProcessModel, load_model
from process_opt.recommend import recommend
from process_opt.simulate import linear_line


def test_a_batch_starts_from_what_its_other_parts_showed(tmp_path) -> None:
    line = linear_line(6, 2, batch_sd=np.full(3, 0.3), batch_size=50)
    model = fit(line.process, parse_history(line.history(1500, 1), line.process))
    names = model.batches.names
    told, true = [], []
    for k in range(6):
        effect = 0.3 * np.random.default_rng([k, 7]).standard_normal((30, 3)) * line.unit / model.layout.scale
        true.append(effect - effect.mean(axis=0))
        told.append(np.array([model.batches.shifts[names.index(f"B1-{b}")][k] for b in range(30)]))
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
    assert not model.batches.shifts.size or np.abs(model.batches.shifts).max() < 0.05


def test_outcomes_move_what_is_known_of_a_batch_and_tell_of_one_that_is_new() -> None:
    spread, size = 0.3, 50
    line = linear_line(4, 2, states=2, batch_sd=np.full(2, spread), batch_size=size, dither=1.0)
    table = line.history(1200, 1)
    model = fit(line.process, parse_history(table.iloc[:1000], line.process))
    names = [*line.process.settings, *line.process.measurements]

    def told(rows: pd.DataFrame) -> list[dict[str, Any]]:
        return [
            {
                "part": row["part"], "batch": row["batch"], "disposition": row["disposition"], "assignment": "dither",
                "observed": {n: float(row[n]) for n in names},
            }
            for row in rows.to_dict("records")
        ]  # fmt: skip

    def true(b: int) -> NDArray[np.float64]:
        each = [spread * np.random.default_rng([k, 7]).standard_normal((24, 2)) for k in range(4)]
        return np.array([(e[b] - e[:20].mean(axis=0)) * line.unit / model.layout.scale for e in each])

    def off(known: ProcessModel, b: int) -> float:
        """How far the batch's shifts are from the true ones, as a share of these; what came in, and what the first step
        did to it, nothing tells apart."""
        mine = known.batches.shifts[known.batches.names.index(f"B1-{b}")]
        return float(np.linalg.norm((mine - true(b))[1:]) / np.linalg.norm(true(b)[1:]))

    assert "B1-20" not in model.batches.names
    new = table.iloc[1000 : 1000 + size]
    few, all_ = update(model, told(new.iloc[:8])), update(model, told(new))
    assert off(few, 20) < 0.6, "eight parts tell most of it"
    assert off(all_, 20) < min(off(few, 20), 0.35)
    assert update(few, told(new.iloc[8:])).batches.shifts[-1] == pytest.approx(all_.batches.shifts[-1], abs=0.1)
    moved = [np.abs(a.weights[:, 0] - b.weights[:, 0]).max() for a, b in zip(model.motions, all_.motions, strict=True)]
    assert max(moved[1:]) < 0.3 * np.abs(true(20)[1:]).max(), "the next batch starts from where the steps were"
    before = model.batches.shifts[model.batches.names.index("B1-3")]
    again = update(model, told(new.assign(batch="B1-3", part=new["part"] + "x")))
    after = again.batches.shifts[again.batches.names.index("B1-3")]
    apart = true(20) - true(3)
    between = float(((after - before) * apart)[1:].sum() / (apart[1:] ** 2).sum())
    assert between == pytest.approx(0.5, abs=0.2), "fifty parts were known of it, and fifty say otherwise"
    assert again.batches.names[-1] == "B1-3", "the latest batches are remembered"
