"""A part goes on where later looks tell in time whether to give it up; none is finished at more risk than allowed."""

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
from process_opt.outlook import look_ahead
from process_opt.patience import patient
from process_opt.plan import settle
from process_opt.process import parse_process
from process_opt.recommend import recommend
from process_opt.simulate import Line, linear_line
from qc.errors import InvalidInput

NONE = frozenset[int]()


@pytest.fixture(scope="module")
def line() -> Line:
    return linear_line(5, 3, states=2, hardness=0.7, hidden_look=0.5)


@pytest.fixture(scope="module")
def model(line: Line) -> ProcessModel:
    return fit(line.process, parse_history(line.history(1500, 1), line.process))


@pytest.fixture(scope="module")
def still(model: ProcessModel) -> ProcessModel:
    """Nothing can be corrected: what remains is to go on or to give up."""
    return replace(model, identified=dict.fromkeys(model.identified, False))


def with_limit(model: ProcessModel, limit: float) -> ProcessModel:
    content = copy.deepcopy(dict(model.process.source))
    content["part"]["escape_limit"] = limit
    return replace(model, process=parse_process(content))


def send(line: Line, model: ProcessModel, seed: int, at: int) -> float:
    """Money of a part from step `at` on that is left alone, and given up where the model says so, before each step."""
    part = line.start(seed)
    for _ in range(at):
        part.run_step(part.at or "")
    spent = part.spent
    zero = np.zeros(len(model.layout.nominal))
    while part.next < len(line.process.steps):
        if part.next > at:
            belief = believe(model, part.observed, part.next)
            plan = settle(model, belief, zero, NONE)
            if plan.value < line.process.scrap and patient(model, belief, plan) is None:
                return line.process.scrap - (part.spent - spent)
        part.run_step(part.at or "")
    return (line.process.value if part.conforms() else line.process.escape) - (part.spent - spent)


def test_going_on_until_the_last_look_tells_is_worth_what_it_is_said_to_be(line: Line, still: ProcessModel) -> None:
    at, zero = 1, np.zeros(len(still.layout.nominal))
    said, came, blind = [], [], []
    for seed in range(400):
        part = line.start(seed)
        for _ in range(at):
            part.run_step(part.at or "")
        belief = believe(still, part.observed, at)
        plan = settle(still, belief, zero, NONE)
        found = patient(still, belief, plan)
        if found is None:
            continue
        assert plan.value < still.process.scrap < found.value
        said.append(found.value)
        blind.append(plan.value)
        came.append(send(line, still, seed, at))
    assert len(said) >= 40
    error = np.std(came) / np.sqrt(len(came))
    assert np.mean(came) > still.process.scrap
    assert np.mean(came) > np.mean(blind) + 4 * error
    assert np.mean(said) == pytest.approx(np.mean(came), abs=3 * error)


def test_before_the_last_step_nothing_is_left_to_wait_for(line: Line, still: ProcessModel) -> None:
    part = line.start(2)
    for _ in range(4):
        part.run_step(part.at or "")
    belief = believe(still, part.observed, 4)
    ahead = look_ahead(still, belief, np.zeros(len(still.layout.nominal)), NONE, replanned=True)
    assert ahead.shown is not None
    assert not ahead.shown.any()


def test_what_later_looks_show_is_part_of_what_is_not_known_yet(line: Line, model: ProcessModel) -> None:
    part = line.start(2)
    part.run_step(part.at or "")
    belief = believe(model, part.observed, 1)
    ahead = look_ahead(model, belief, np.zeros(len(model.layout.nominal)), NONE, replanned=True)
    assert ahead.shown is not None
    for n in range(0, model.size, 8):
        assert np.linalg.eigvalsh(ahead.shown[:, :, n]).min() > -1e-9
        assert np.linalg.eigvalsh(ahead.cov[:, :, n] - ahead.shown[:, :, n]).min() > 0


def asked(line: Line, at: int, count: int) -> list[dict[str, Any]]:
    requests = []
    for seed in range(count):
        part = line.start(seed)
        for _ in range(at):
            part.run_step(part.at or "")
        requests.append({"part": f"P-{seed}", "at": part.at, "observed": dict(part.observed)})
    return requests


def test_no_part_is_finished_at_more_risk_than_the_process_allows(line: Line, model: ProcessModel) -> None:
    limit = 0.05
    bound = with_limit(model, limit)
    risky = safer = 0
    for request in asked(line, 4, 120):
        free, held = recommend(model, request), recommend(bound, request)
        if held["decision"] in ("continue", "correct"):
            assert held["p_conform"] >= 1 - limit
        if free["decision"] in ("continue", "correct") and free["p_conform"] < 1 - limit:
            risky += 1
            if held["decision"] == "scrap":
                assert "process allows 5 %" in held["reason"]
                assert held["expected_value"] == model.process.scrap
            safer += held["decision"] == "correct"
        elif free["decision"] in ("continue", "correct"):
            assert held["decision"] == free["decision"]
            assert held["settings"] == free["settings"]
            assert held["expected_value"] == free["expected_value"]
    assert risky >= 5, "money alone finishes parts at more risk"


def test_earlier_looks_leave_the_limit_to_later_ones(line: Line, model: ProcessModel) -> None:
    bound = with_limit(model, 0.05)
    for request in asked(line, 1, 20):
        free, held = recommend(model, request), recommend(bound, request)
        assert (held["decision"], held["settings"]) == (free["decision"], free["settings"])


@pytest.mark.parametrize("limit", [0, 1, -0.1, "low"])
def test_a_limit_that_is_no_chance_is_refused(model: ProcessModel, limit: Any) -> None:
    with pytest.raises(InvalidInput, match="escape_limit"):
        with_limit(model, limit)
