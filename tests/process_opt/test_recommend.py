"""The advice on a part, on a small line whose truth is known."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from process_opt.belief import believe
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.learn import update
from process_opt.left_alone import left_alone
from process_opt.model import ProcessModel, load_model
from process_opt.recommend import GAIN_WORTH_ABSTAINING, recommend, weigh
from process_opt.simulate import Line, linear_line
from qc.errors import InvalidInput, NotFound


@pytest.fixture(scope="module")
def line() -> Line:
    return linear_line(8, 3, hidden_look=0.5)


@pytest.fixture(scope="module")
def model(line: Line) -> ProcessModel:
    return fit(line.process, parse_history(line.history(3000, 1), line.process))


def request(line: Line, seed: int = 1, steps: int = 4) -> dict[str, object]:
    part = line.start(seed)
    for _ in range(steps):
        part.run_step(part.at or "")
    return {"part": "P-1", "at": part.at, "observed": part.observed}


FIELDS = {
    "part", "at", "decision", "settings", "run", "measure", "p_conform", "p_conform_interval", "expected_value",
    "minutes", "value_if_continued", "value_if_scrapped", "causes", "alternatives", "readings", "reason", "model",
    "elapsed_ms",
}  # fmt: skip


def test_an_answer_has_every_field_of_the_contract_and_is_json(line: Line, model: ProcessModel) -> None:
    answer = recommend(model, request(line))
    assert set(answer) == FIELDS
    json.dumps(answer, allow_nan=False)
    low, high = answer["p_conform_interval"]
    assert 0 <= low <= answer["p_conform"] <= high <= 1
    assert sum(c["share"] for c in answer["causes"]) <= 1.0001
    assert answer["model"] == model.id


def test_every_other_way_is_told_with_its_money_its_risk_and_its_time(line: Line) -> None:
    timed = replace(line.process, steps=tuple(replace(s, minutes=3.0 + k) for k, s in enumerate(line.process.steps)))
    known = fit(timed, parse_history(line.history(600, 1), timed))
    answers = [recommend(known, request(line, seed)) for seed in range(6)]
    rest = sum(3.0 + k for k in range(4, 8))
    assert {"correct", "scrap"} & {a["decision"] for a in answers}
    for answer in answers:
        assert answer["minutes"] == (0.0 if answer["decision"] == "scrap" else rest)
        others = answer["alternatives"]
        assert [o["expected_value"] for o in others] == sorted((o["expected_value"] for o in others), reverse=True)
        assert answer["decision"] not in {o["decision"] for o in others}
        for other in others:
            if other["decision"] == "scrap":
                assert other["p_conform_interval"] is None
                assert other["minutes"] == 0.0
            else:
                low, high = other["p_conform_interval"]
                assert low <= other["p_conform"] <= high
                assert other["minutes"] == rest


def test_a_way_whose_steps_do_not_all_say_how_long_they_take_has_no_time(line: Line, model: ProcessModel) -> None:
    answer = recommend(model, request(line))
    assert answer["minutes"] in (None, 0.0)
    assert {o["minutes"] for o in answer["alternatives"] if o["decision"] != "scrap"} <= {None}


def test_the_same_request_has_the_same_answer_also_after_saving(line: Line, model: ProcessModel, tmp_path) -> None:
    model.save(tmp_path / "model")
    first, second = (recommend(m, request(line)) for m in (model, load_model(tmp_path / "model")))
    first.pop("elapsed_ms"), second.pop("elapsed_ms")
    assert first == second


def test_a_part_that_came_in_off_is_laid_to_no_step(line: Line, model: ProcessModel) -> None:
    lever = next(iter(line.process.steps[1].settings))
    for seed in range(3):
        came, made = line.start(seed), line.start(seed)
        came.x, made.x = np.full_like(came.x, 2.5), np.zeros_like(made.x)
        for part in (came, made):
            for k in range(4):
                part.run_step(part.at or "", {lever.name: lever.high} if part is made and k == 1 else {})
        told, other = (recommend(model, {"part": "P", "at": p.at, "observed": p.observed}) for p in (came, made))
        assert "The part came in off: " in told["reason"]
        assert sum(c["share"] for c in told["causes"]) < 0.5
        assert "came in off" not in other["reason"]
        assert other["causes"][0]["step"] == "s02-op"


def test_settings_name_only_what_leaves_nominal_and_stay_within_the_machine(line: Line, model: ProcessModel) -> None:
    for seed in range(10):
        answer = recommend(model, request(line, seed))
        for name, value in answer["settings"].items():
            k, setting = line.process.settings[name]
            assert setting.low <= value <= setting.high
            assert value != setting.nominal
            assert k >= line.process.place[answer["at"]]


def follow(line: Line, model: ProcessModel | None, seed: int) -> float:
    part = line.start(seed)
    plan: dict[str, float] = {}
    while part.at is not None:
        if model is not None and part.next >= 3:
            answer = recommend(model, {"part": "x", "at": part.at, "observed": part.observed})
            if answer["decision"] == "scrap":
                return line.process.scrap - part.spent
            plan = answer["settings"]
        part.run_step(part.at, {n: v for n, v in plan.items() if n.startswith(part.at + ".")})
    return (line.process.value if part.conforms() else line.process.escape) - part.spent


def test_following_the_advice_earns_more_than_scrapping_or_doing_nothing(line: Line, model: ProcessModel) -> None:
    followed = np.mean([follow(line, model, s) for s in range(40)])
    nothing = np.mean([follow(line, None, s) for s in range(40)])
    assert followed > max(nothing, line.process.scrap) + 10


def test_a_history_without_dither_recommends_no_setting(line: Line) -> None:
    habits = linear_line(8, 3, hidden_look=0.8, dither=0.0)
    blind = fit(habits.process, parse_history(habits.history(1500, 1), habits.process))
    assert not any(blind.identified.values())
    answers = [recommend(blind, request(habits, s)) for s in range(12)]
    assert all(not a["settings"] for a in answers)
    assert "abstain" in {a["decision"] for a in answers}
    reasons = [a["reason"] for a in answers if a["decision"] == "abstain"]
    assert all("does not identify" in r for r in reasons)


def test_a_lever_nobody_dithered_is_left_alone_and_the_others_are_used(line: Line) -> None:
    known = {"s05-op.lever1", "s06-op.lever1", "s07-op.lever2"}
    half = linear_line(8, 3, hidden_look=0.5, dither=0.5, only=tuple(known))
    model = fit(half.process, parse_history(half.history(1500, 1), half.process))
    assert {name for name, is_known in model.identified.items() if is_known} == known
    stake = half.process.value - half.process.escape
    helped = 0
    for seed in range(12):
        question = request(half, seed)
        answer = recommend(model, question)
        assert set(answer["settings"]) <= known
        options = weigh(model, believe(model, question["observed"], 4))  # type: ignore[arg-type]
        if options.beyond is None:
            continue
        assert options.beyond.value > options.best.value + GAIN_WORTH_ABSTAINING * stake
        unknown = left_alone(model, options.beyond)
        assert unknown
        assert not set(unknown) & known
        assert all(name in answer["reason"] for name in unknown)
        assert "identify" in answer["reason"]
        assert "dither" in answer["reason"]
        if options.best.v.any() and options.best.value > options.scrap:
            helped += 1
            assert answer["decision"] in {"correct", "measure"}
            assert answer["expected_value"] >= max(answer["value_if_continued"], answer["value_if_scrapped"])
        elif options.patient is None:
            assert answer["decision"] == "abstain"
    assert helped >= 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"at": "s99"}, "s99"),
        ({"observed": {"s01-op.colour": 1.0}}, "s01-op.colour"),
        ({"observed": {"s01-op.length": math.nan}}, "s01-op.length"),
        ({"observed": {"s01-op.length": "long"}}, "s01-op.length"),
        ({"observed": {"s01-op.lever1": 1e6}}, "s01-op.lever1"),
        ({"observed": {"s07-op.length": 12.0}}, "s07-op.length"),
        ({"part": None}, "part"),
        ({"wish": 1}, "wish"),
    ],
)
def test_a_senseless_request_is_refused_by_name(line: Line, model: ProcessModel, change, named) -> None:
    with pytest.raises(InvalidInput, match=named):
        recommend(model, {**request(line), **change})


def test_a_part_known_not_at_all_still_gets_an_answer(line: Line, model: ProcessModel) -> None:
    answer = recommend(model, {"part": "P", "at": line.process.steps[0].name, "observed": {}})
    assert answer["decision"] in {"continue", "correct", "scrap", "measure", "abstain"}
    assert answer["causes"] == []


def test_outcomes_far_from_the_promise_widen_it_and_a_part_counts_once(line: Line, model: ProcessModel) -> None:
    outcomes = []
    for i in range(40):
        observed = dict(request(line, i, steps=8)["observed"])  # type: ignore[call-overload]
        for name in line.process.conformance:
            observed[name] += 5 * line.unit[0]
        outcomes.append({"part": f"O{i}", "disposition": "finished", "observed": observed})
    taught = update(model, outcomes)
    assert max(taught.check["widen"]) > max(model.check["widen"])
    assert taught.id != model.id
    assert update(taught, outcomes).id == taught.id


def test_an_outcome_with_an_unknown_name_teaches_nothing(line: Line, model: ProcessModel) -> None:
    with pytest.raises(InvalidInput, match=r"s01-op\.wish"):
        update(model, [{"part": "a", "disposition": "finished", "observed": {"s01-op.wish": 1.0}}])


def test_a_damaged_or_missing_model_folder_is_refused(model: ProcessModel, tmp_path) -> None:
    with pytest.raises(NotFound, match="qc process fit"):
        load_model(tmp_path / "nowhere")
    model.save(tmp_path / "m")
    text = (tmp_path / "m" / "model.json").read_text()
    (tmp_path / "m" / "model.json").write_text(text.replace('"currency": "EUR"', '"currency": "USD"'))
    with pytest.raises(InvalidInput, match="altered"):
        load_model(tmp_path / "m")
    (tmp_path / "m" / "arrays.npz").write_bytes(b"junk")
    with pytest.raises(InvalidInput, match="damaged"):
        load_model(tmp_path / "m")


def test_going_on_against_the_written_figures_is_said_and_only_where_renewal_pays() -> None:
    narrow = linear_line(16, 4, hardness=0.9, every=2)
    taught = fit(narrow.process, parse_history(narrow.history(1500, 1), narrow.process))
    for seed in range(12):
        answer = recommend(taught, request(narrow, seed, steps=4))
        if answer["decision"] in ("continue", "correct") and answer["expected_value"] < answer["value_if_scrapped"]:
            assert "ask again" in answer["reason"]
        if answer["decision"] == "scrap":
            assert all(a["expected_value"] <= answer["expected_value"] for a in answer["alternatives"])
