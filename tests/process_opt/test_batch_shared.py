"""Parts of a batch share a furnace: one value for all, each part its own way with it, and who respects what stands."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from process_opt.alternatives import settings_of
from process_opt.batch_plan import Member, decide_batch
from process_opt.batch_shared import Side, planned
from process_opt.belief import believe
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.identify import ENOUGH_BATCHES, identified_levers
from process_opt.model import ProcessModel
from process_opt.process import parse_process
from process_opt.recommend import recommend
from process_opt.request import parse_question
from process_opt.simulate import Line, furnace_line
from process_opt.what_if import what_if
from qc.errors import InvalidInput

FURNACE = "s04-op.lever1"


@pytest.fixture(scope="module")
def line() -> Line:
    return furnace_line(5, 1, levers=1)


@pytest.fixture(scope="module")
def model(line: Line) -> ProcessModel:
    return fit(line.process, parse_history(line.history(1200, 1), line.process))


def members(line: Line, model: ProcessModel, charge: int, steps: int = 2, **more: object) -> list[Member]:
    found = []
    for seed in range(8):
        part = line.start(100 * charge + seed, charge)
        for _ in range(steps):
            part.run_step(part.at or "")
        request = {"part": f"P-{seed}", "at": part.at, "observed": dict(part.observed), "batch": "new", **more}
        found.append(Member(request, recommend(model, request)))
    return found


def sides_of(model: ProcessModel, batch: list[Member]) -> list[Side]:
    questions = [parse_question(member.request, model.process, model.layout) for member in batch]
    return [Side(model, believe(model, q.observed, q.at)) for q in questions]


def place(model: ProcessModel) -> NDArray[np.int64]:
    return np.array([list(model.process.settings).index(FURNACE)])


def test_a_step_or_a_setting_is_shared_by_the_batch_and_by_nothing_else(line: Line) -> None:
    assert line.process.shared == {FURNACE}
    content = copy.deepcopy(dict(line.process.source))
    del content["steps"][3]["shared"]
    content["steps"][3]["settings"]["lever1"]["shared"] = "batch"
    assert parse_process(content).shared == {FURNACE}
    content["steps"][3]["shared"] = "factory"
    with pytest.raises(InvalidInput, match="shared must be batch"):
        parse_process(content)


def test_a_shared_setting_is_told_by_batches_not_by_parts(line: Line) -> None:
    table = line.history(1200, 1)
    drawn = table[table["assignment"] == "dither"]
    assert identified_levers(line.process, parse_history(table, line.process))[FURNACE]
    few = drawn[drawn["batch"].isin(drawn["batch"].unique()[: ENOUGH_BATCHES - 1])]
    known = identified_levers(line.process, parse_history(few, line.process))
    assert not known.pop(FURNACE)
    assert all(known.values())


def test_the_furnace_has_one_value_which_is_as_good_as_any_and_each_part_goes_its_own_way(
    line: Line, model: ProcessModel
) -> None:
    batch = members(line, model, 3)
    told = decide_batch(model, batch)
    plans = {plan["plan"]: plan for plan in told["plans"]}
    assert set(plans) == {"shared", "scrap", "continue", "correct"}, "what nobody can carry out is no plan"
    assert told["decision"] == "shared"
    for plan in ("scrap", "continue", "correct"):
        assert plans["shared"]["money"] >= plans[plan]["money"]
    value = plans["shared"]["shared"][FURNACE]
    nominal = line.process.settings[FURNACE][1].nominal
    going = [part for part in told["parts"] if part["decision_shared"] != "scrap"]
    assert {part["settings_shared"].get(FURNACE, nominal) for part in going} == {value}
    set_up = line.process.steps[3].setup_cost
    assert len({str(part["settings_shared"]) for part in going}) > 1
    for part, member in zip(told["parts"], batch, strict=True):
        if part["decision_shared"] != "scrap":
            same = what_if(model, {**member.request, "decided": {FURNACE: value}}, part["settings_shared"])
            borne = same["expected_value"] - set_up / len(going)
            if same["expected_value"] < model.process.scrap:  # it goes on only because it will be asked about again
                assert part["value_shared"] > max(borne, model.process.scrap - set_up)
                continue
            assert part["value_shared"] == pytest.approx(borne, abs=0.1), "settings are told with six digits"

    sides, here = sides_of(model, batch), place(model)
    t = model.tables
    every = np.linspace(t.low[here[0]], t.high[here[0]], 9)
    best = max(planned(sides, here, np.array([v]), 0.0).money for v in every)
    stake = model.process.value - model.process.escape
    assert plans["shared"]["money"] > best - 0.002 * len(batch) * stake


def test_the_furnace_is_set_up_once_for_the_batch_and_not_for_each_part(line: Line, model: ProcessModel) -> None:
    batch = members(line, model, 3)
    shared = next(p for p in decide_batch(model, batch)["plans"] if p["plan"] == "shared")
    left = planned(sides_of(model, batch), place(model), np.zeros(1), 0.0).money
    cheap_set_up = line.process.steps[3].setup_cost
    dear = round((shared["money"] - left) / 2, 2)
    assert dear > 1.0, "the furnace is worth moving"
    content = copy.deepcopy(dict(line.process.source))
    content["steps"][3]["setup_cost"] = dear
    costly = replace(model, process=parse_process(content))
    again = decide_batch(costly, [Member(m.request, recommend(costly, m.request)) for m in batch])
    assert again["decision"] == "shared"
    plan = again["plans"][0]
    assert plan["shared"][FURNACE] != line.process.settings[FURNACE][1].nominal, "once, it costs half of what it brings"
    assert plan["money"] == pytest.approx(sum(part["value_shared"] for part in again["parts"]), abs=0.01)
    assert plan["money"] == pytest.approx(shared["money"] - (dear - cheap_set_up), abs=0.5)
    stands = {FURNACE: plan["shared"][FURNACE]}
    cheap, paid = (what_if(m, {**batch[0].request, "decided": stands}, {})["expected_value"] for m in (model, costly))
    assert cheap == pytest.approx(paid), "what stands is paid, whatever it cost"
    cheap, alone = (what_if(m, batch[0].request, stands)["expected_value"] for m in (model, costly))
    assert cheap - alone == pytest.approx(dear - cheap_set_up, abs=1e-3), "for one part by itself it is that part's"


def test_what_is_decided_is_held_told_and_planned_with(line: Line, model: ProcessModel) -> None:
    setting = line.process.settings[FURNACE][1]
    value = setting.nominal + 0.3 * (setting.high - setting.nominal)
    free, held = members(line, model, 3), members(line, model, 3, decided={FURNACE: value})
    for alone, bound in zip(free, held, strict=True):
        answer = bound.answer
        assert answer["decided"] == {FURNACE: value}
        assert FURNACE in answer["reason"]
        if answer["decision"] == "correct":
            assert answer["settings"][FURNACE] == pytest.approx(value, rel=1e-5)
        most = max(alone.answer["expected_value"], model.process.scrap)  # less: it goes on only to be asked about again
        assert answer["expected_value"] <= most + 0.1
        assert "shared" not in answer
        wondered = what_if(model, bound.request, {})
        assert wondered["settings"][FURNACE] == pytest.approx(value, rel=1e-5)
        assert answer["value_if_continued"] == pytest.approx(wondered["expected_value"], abs=0.01)
    told = decide_batch(model, free, {FURNACE: value})
    assert "shared" not in {plan["plan"] for plan in told["plans"]}, "nothing is left to be shared"
    for plan in told["plans"]:
        if plan["plan"] in ("continue", "correct"):
            assert plan["settings"][FURNACE] == pytest.approx(value, rel=1e-5)


def test_a_plan_that_moves_what_the_batch_shares_says_so(line: Line, model: ProcessModel) -> None:
    moved = [m.answer for m in members(line, model, 3) if FURNACE in m.answer["settings"]]
    assert moved
    for answer in moved:
        assert answer["shared"] == [FURNACE]
        assert "decide on the batch" in answer["reason"]


def test_a_setting_that_is_not_identified_is_held_where_it_was_decided(line: Line, model: ProcessModel) -> None:
    (known,) = (list(model.process.settings).index(FURNACE),)
    belief = believe(model, {}, 2, decided={FURNACE: line.process.settings[FURNACE][1].high})
    assert np.flatnonzero(~belief.free).tolist() == [known]
    assert settings_of(model, belief.base) == {FURNACE: line.process.settings[FURNACE][1].high}


@pytest.mark.parametrize(
    ("decided", "words"),
    [
        ([FURNACE], "decided must map"),
        ({"s04-op.heat": 3.0}, "not a setting"),
        ({"s01-op.lever1": 3.0}, "through the step"),
        ({FURNACE: 1e9}, "impossible"),
        ({FURNACE: "hot"}, "finite number"),
    ],
)
def test_what_cannot_be_decided_is_refused(line: Line, model: ProcessModel, decided: object, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        recommend(model, {"part": "P", "at": "s03-op", "observed": {}, "decided": decided})
