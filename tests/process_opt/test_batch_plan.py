"""One decision for a batch: the plan worth most for all its parts, how many of them it saves, and which differ."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from process_opt.batch_plan import Member, decide_batch, good_parts
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel
from process_opt.recommend import recommend
from process_opt.simulate import Line, linear_line
from process_opt.what_if import what_if
from qc.errors import InvalidInput


@pytest.fixture(scope="module")
def line() -> Line:
    return linear_line(6, 3, hardness=0.8)


@pytest.fixture(scope="module")
def model(line: Line) -> ProcessModel:
    return fit(line.process, parse_history(line.history(600, 1), line.process))


def members(line: Line, model: ProcessModel, seeds: range, steps: int = 3) -> list[Member]:
    found = []
    for seed in seeds:
        part = line.start(seed)
        for _ in range(steps):
            part.run_step(part.at or "")
        request = {"part": f"P-{seed}", "at": part.at, "observed": dict(part.observed), "batch": "B1"}
        found.append(Member(request, recommend(model, request)))
    return found


def test_the_number_of_good_parts_is_counted_over_every_way_it_can_come_about() -> None:
    chances = np.random.default_rng(3).random((4, 5))
    by_hand = np.zeros(5)
    for ends in itertools.product([0, 1], repeat=4):
        likely = np.prod([p if end else 1 - p for end, p in zip(ends, chances, strict=True)], axis=0)
        by_hand[sum(ends)] += likely.mean()
    assert good_parts(chances) == pytest.approx(by_hand)
    assert good_parts(np.zeros((0, 5))) == pytest.approx([1.0])


def test_each_part_by_itself_is_never_worth_less_than_one_decision_and_the_figures_are_those_of_each_part(
    line: Line, model: ProcessModel
) -> None:
    batch = members(line, model, range(40, 52))
    told = decide_batch(model, batch)
    plans = {plan["plan"]: plan for plan in told["plans"]}
    assert {"each", "continue", "scrap"} <= set(plans)
    assert [p["money"] for p in told["plans"]] == sorted((p["money"] for p in plans.values()), reverse=True)
    best = max((p for p in told["plans"] if p["plan"] != "each"), key=lambda p: p["money"])
    assert told["decision"] == best["plan"]
    assert plans["scrap"]["money"] == pytest.approx(len(batch) * model.process.scrap, abs=1e-3)
    going_on = [what_if(model, member.request, {}) for member in batch]
    assert plans["continue"]["money"] == pytest.approx(sum(one["expected_value"] for one in going_on), abs=0.01)
    assert plans["continue"]["good"] == pytest.approx(sum(one["p_conform"] for one in going_on), abs=0.01)
    for plan in told["plans"]:
        low, high = plan["good_interval"]
        assert 0 <= low <= plan["good"] + 1
        assert plan["good"] - 1 <= high <= len(batch)
        assert plan["money_interval"][0] <= plan["money_interval"][1]
    shared = sum(part["value_shared"] for part in told["parts"])
    assert shared == pytest.approx(plans[told["decision"]]["money"], abs=0.01)
    for part, member in zip(told["parts"], batch, strict=True):
        assert part["gain"] == pytest.approx(part["value_own"] - part["value_shared"], abs=1e-3)
        patient = member.answer["expected_value"] < model.process.scrap  # worth more, as it will be asked about again
        if member.decision != "abstain" and not patient:
            assert part["value_own"] == pytest.approx(member.answer["expected_value"], abs=0.05)
        assert part["gain"] > -0.01 * (model.process.value - model.process.escape), "its own advice is near the best"
    assert told["worth_apart"] == pytest.approx(sum(max(p["gain"], 0) for p in told["parts"] if p["apart"]), abs=0.01)


def test_parts_that_are_all_alike_have_one_decision_and_none_differs(line: Line, model: ProcessModel) -> None:
    (one,) = members(line, model, range(44, 45))
    alike = [Member({**one.request, "part": f"P-{n}"}, one.answer) for n in range(5)]
    told = decide_batch(model, alike)
    if one.decision in ("correct", "continue", "scrap"):
        assert told["decision"] == one.decision
        assert not any(part["apart"] for part in told["parts"])
    assert {part["value_shared"] for part in told["parts"]} == {told["parts"][0]["value_shared"]}


def test_a_part_advised_when_the_process_was_another_one_must_be_asked_about_again(
    line: Line, model: ProcessModel
) -> None:
    batch = members(line, model, range(40, 43))
    old = {**batch[0].answer, "decision": "correct", "settings": {}, "run": [line.process.steps[4].name]}
    told = decide_batch(model, [Member(batch[0].request, old), *batch[1:]])
    assert told["parts"][0]["apart"]
    assert told["parts"][0]["value_own"] >= model.process.scrap


def test_parts_before_different_steps_and_no_parts_are_refused(line: Line, model: ProcessModel) -> None:
    mixed = members(line, model, range(50, 51)) + members(line, model, range(51, 52), steps=2)
    with pytest.raises(InvalidInput, match="different steps"):
        decide_batch(model, mixed)
    with pytest.raises(InvalidInput, match="without parts"):
        decide_batch(model, [])
