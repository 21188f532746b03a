"""Exploring within tolerance: what is not identified becomes so, for no more than the stated price."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel
from process_opt.recommend import recommend
from process_opt.serving import allowing
from process_opt.simulate import Line, linear_line
from qc.errors import InvalidInput

LEVER = "s02-op.lever1"
PRICE, CHANCE, PARTS = 2.0, 0.03, 80
RULE = {"explore": {"price": PRICE, "chance": CHANCE, "steps": ["s02-op"]}}


@pytest.fixture(scope="module")
def line() -> Line:
    return linear_line(2, 4, states=2, hardness=1.5)


@pytest.fixture(scope="module")
def history(line: Line) -> pd.DataFrame:
    """One setting was never dithered: only people moved it, seeing the part."""
    table = line.history(400, 1)
    dithered = table["assignment"] == "dither"
    other = linear_line(2, 4, states=2, hardness=1.5, dither=1.0)
    still = other.truths[1].move
    other.truths[1] = type(other.truths[1])(**{**other.truths[1].__dict__, "move": lambda x, v: still(x, v * [0, 1])})
    made = other.history(int(dithered.sum()), 2)
    made[LEVER] = line.process.settings[LEVER][1].nominal
    return pd.concat([table[~dithered], made], ignore_index=True)


@pytest.fixture(scope="module")
def model(line: Line, history: pd.DataFrame) -> ProcessModel:
    return fit(line.process, parse_history(history, line.process))


def asked(line: Line, seed: int) -> tuple[Any, dict[str, Any]]:
    part = line.start(seed)
    part.run_step("s01-op")
    return part, {"part": f"P-{seed}", "at": "s02-op", "observed": dict(part.observed)}


def carried_out(line: Line, seed: int, answer: dict[str, Any]) -> Any:
    part, _ = asked(line, seed)
    for step in line.process.steps[1:]:
        part.run_step(step.name, {n: v for n, v in answer["settings"].items() if n.startswith(step.name)})
    return part


def test_off_unless_allowed(line: Line, model: ProcessModel) -> None:
    _, request = asked(line, 1)
    assert "explored" not in recommend(model, request)
    assert LEVER not in recommend(model, request)["settings"]


def test_the_same_request_to_the_same_model_keeps_the_same_answer(line: Line, model: ProcessModel) -> None:
    allowed = allowing(model, RULE)
    _, request = asked(line, 1)
    first, again = recommend(allowed, request), recommend(allowed, {**request})
    assert {**first, "elapsed_ms": 0} == {**again, "elapsed_ms": 0}
    assert first["explored"]["settings"] != []
    # Moves are shortened by steps, so that two parts may be given the same one; six are not.
    others = [recommend(allowed, {**request, "part": f"other {n}"})["settings"] for n in range(5)]
    assert any(settings != first["settings"] for settings in others)
    assert allowed.id != model.id
    assert allowing(allowed, {}).id == model.id


def test_what_is_explored_becomes_identified_while_the_loss_stays_within_the_price(
    line: Line, model: ProcessModel, history: pd.DataFrame
) -> None:
    assert not model.identified[LEVER]
    allowed = allowing(model, RULE)
    stake = line.process.value - line.process.escape
    rows, lost, moved = [], [], 0
    for seed in range(PARTS):
        _, request = asked(line, seed)
        usual, answer = recommend(model, request), recommend(allowed, request)
        if usual["decision"] == "scrap":
            assert "explored" not in answer
            continue
        if "explored" in answer:
            assert answer["explored"]["price"] <= PRICE
            assert answer["explored"]["chance"] <= CHANCE
            assert all(n.startswith("s02-op") for n in answer["explored"]["settings"])
            moved += LEVER in answer["settings"]
        parts = [carried_out(line, seed, a) for a in (usual, answer)]  # the same luck on both
        money = [line.process.escape + stake * p.conforms() - p.spent for p in parts]
        lost.append(money[0] - money[1])
        assignment = "dither" if "explored" in answer else "operator"
        rows.append({"part": f"E-{seed}", "disposition": "finished", "assignment": assignment, **parts[1].observed})
    assert moved > 40
    assert np.mean(lost) <= PRICE + 2 * np.std(lost) / np.sqrt(len(lost))
    better = fit(line.process, parse_history(pd.concat([history, pd.DataFrame(rows)], ignore_index=True), line.process))
    assert better.identified[LEVER]
    setting = line.process.settings[LEVER][1]
    v = np.array([[better.layout.stretch[2] / ((setting.high - setting.low) / 2), 0.0]])
    true = line.unit * line.truths[1].move(np.zeros((1, 2)), v)[0] / better.layout.scale
    draws = better.draws[1][:, 3]
    assert (np.abs(draws.mean(axis=1) - true) < 3 * draws.std(axis=1) + 0.02).all()
    assert draws.std(axis=1).max() < np.abs(true).max() / 3


def test_a_price_of_nothing_allows_nothing_that_costs(line: Line, model: ProcessModel) -> None:
    free = allowing(model, {"explore": {"price": 0.0, "chance": 0.0, "steps": ["s02-op"]}})
    for seed in range(5):
        answer = recommend(free, asked(line, seed)[1])
        assert answer.get("explored", {"price": 0.0})["price"] == 0.0


def test_a_wrong_price_is_named(model: ProcessModel) -> None:
    with pytest.raises(InvalidInput, match=r"explore.price must be a number of at least 0, not -1"):
        allowing(model, {"explore": {"price": -1, "chance": 0.1}})
