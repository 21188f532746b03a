"""What if these settings were chosen: the way to expect, the chance, the money."""

from __future__ import annotations

import argparse
import copy
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from process_opt.cli import register
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel
from process_opt.process import parse_process
from process_opt.recommend import recommend
from process_opt.simulate import Line, linear_line
from process_opt.what_if import as_table, what_if
from qc.errors import InvalidInput


@pytest.fixture(scope="module")
def line() -> Line:
    return linear_line(6, 3, every=2)


@pytest.fixture(scope="module")
def model(line: Line) -> ProcessModel:
    return fit(line.process, parse_history(line.history(800, 1), line.process))


def request(line: Line, seed: int = 1, steps: int = 2) -> dict[str, Any]:
    part = line.start(seed)
    for _ in range(steps):
        part.run_step(part.at or "")
    return {"part": f"P-{seed}", "at": part.at, "observed": part.observed}


def plan(answer: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(p for p in answer["compared"] if p["plan"] == name)
    return found


def test_what_if_nothing_is_changed_is_what_continuing_is(line: Line, model: ProcessModel) -> None:
    answer = what_if(model, request(line), {})
    told = recommend(model, request(line))
    json.dumps(answer, allow_nan=False)
    assert answer["expected_value"] == told["value_if_continued"] == plan(answer, "continue")["expected_value"]
    assert plan(answer, "scrap")["expected_value"] == told["value_if_scrapped"]
    assert answer["model"] == told["model"]


def test_choosing_what_is_recommended_is_worth_what_was_promised(line: Line, model: ProcessModel) -> None:
    tried = 0
    for seed in range(12):
        told = recommend(model, request(line, seed))
        if told["decision"] != "correct":
            continue
        tried += 1
        answer = what_if(model, request(line, seed), told["settings"], told["run"])
        recommended = plan(answer, "recommended")
        assert recommended["settings"] == told["settings"] == answer["settings"]
        assert answer["p_conform"] == pytest.approx(told["p_conform"], abs=0.005)  # settings are told rounded
        assert answer["expected_value"] == pytest.approx(recommended["expected_value"], abs=0.5)
    assert tried > 0


def test_the_time_is_that_of_the_steps_still_to_come(line: Line, model: ProcessModel) -> None:
    steps = tuple(replace(s, minutes=2.0 + k) for k, s in enumerate(line.process.steps))
    timed = replace(model, process=replace(line.process, steps=steps))
    answer = what_if(timed, request(line), {})
    assert answer["minutes"] == sum(2.0 + k for k in range(2, 6))
    assert {p["plan"]: p["minutes"] for p in answer["compared"]}.items() >= {
        ("scrap", 0.0),
        ("continue", answer["minutes"]),
    }
    assert what_if(model, request(line), {})["minutes"] is None, "nobody said how long a step takes"


def test_the_same_question_has_the_same_answer(line: Line, model: ProcessModel) -> None:
    name = line.process.steps[3].settings[0].name
    chosen = {name: line.process.settings[name][1].high}
    first, second = (what_if(model, request(line), chosen) for _ in range(2))
    first.pop("elapsed_ms"), second.pop("elapsed_ms")
    assert first == second


def test_nine_readings_of_ten_lie_in_their_band(line: Line, model: ProcessModel) -> None:
    rng = np.random.default_rng(0)
    inside = []
    for seed in range(60):
        asked = request(line, 200 + seed)
        chosen = {
            s.name: s.nominal + 0.3 * (s.high - s.low) / 2 * rng.standard_normal()
            for step in line.process.steps[2:]
            for s in step.settings
        }
        chosen = {n: float(np.clip(v, *_limits(line, n))) for n, v in chosen.items()}
        answer = what_if(model, asked, chosen)
        part = line.start(200 + seed)
        while part.at is not None:
            part.run_step(part.at, {n: v for n, v in chosen.items() if n.startswith(part.at)})
        for step in answer["path"]:
            for name, reading in step["readings"].items():
                inside.append(reading["low"] <= part.observed[name] <= reading["high"])
    assert [s["step"] for s in answer["path"]] == [s.name for s in line.process.steps[2:]]
    assert 0.85 < np.mean(inside) < 0.95


def _limits(line: Line, name: str) -> tuple[float, float]:
    setting = line.process.settings[name][1]
    return setting.low, setting.high


def test_a_rework_step_is_on_the_way_only_if_it_is_chosen(line: Line) -> None:
    content = copy.deepcopy(dict(line.process.source))
    content["steps"][4] |= {"optional": True, "cost": 1.5}
    process = parse_process(content)
    model = fit(process, parse_history(line.history(200, 1), process))
    rework = process.steps[4]
    asked = request(line, 2)
    without = what_if(model, asked, {})
    with_it = what_if(model, asked, {}, [rework.name])
    by_setting = what_if(model, asked, {rework.settings[0].name: rework.settings[0].high})
    assert rework.name not in [s["step"] for s in without["path"]]
    assert rework.name in [s["step"] for s in with_it["path"]]
    assert with_it["run"] == by_setting["run"] == [rework.name]
    assert with_it["expected_value"] != without["expected_value"]


@pytest.mark.parametrize(
    ("settings", "run", "named"),
    [
        ({"s04-op.colour": 1.0}, [], "s04-op.colour is not a setting"),
        ({"s01-op.lever1": 1.0}, [], "s01-op.lever1 cannot be chosen any more"),
        ({"s04-op.lever1": 1e6}, [], "s04-op.lever1 = 1e.06 is impossible"),
        ({"s04-op.lever1": float("nan")}, [], "s04-op.lever1 must be a finite number"),
        ({}, ["s04-op"], "s04-op', which is not an optional step"),
        ({}, "s04-op", "run must be a list"),
        ([], [], "settings must map"),
    ],
)
def test_a_senseless_choice_is_refused_by_name(line: Line, model: ProcessModel, settings, run, named) -> None:
    with pytest.raises(InvalidInput, match=named):
        what_if(model, request(line), settings, run)


def test_a_choice_that_the_history_says_nothing_of_is_answered_with_a_warning(line: Line) -> None:
    habits = linear_line(6, 3, hidden_look=0.8, dither=0.0, every=2)
    blind = fit(habits.process, parse_history(habits.history(300, 1), habits.process))
    name = line.process.steps[3].settings[0].name
    answer = what_if(blind, request(habits), {name: line.process.settings[name][1].high})
    assert any("does not identify" in note and name in note for note in answer["notes"])


def test_the_command_prints_a_table_and_writes_json_whole_or_not_at_all(
    line: Line, model: ProcessModel, tmp_path, capsys
) -> None:
    model.save(tmp_path / "model")
    requests, out = tmp_path / "r.jsonl", tmp_path / "a.jsonl"
    requests.write_text(json.dumps(request(line)) + "\n" + json.dumps(request(line, 2)) + "\n")
    name = line.process.steps[3].settings[0].name
    value = line.process.settings[name][1].high

    def run(*words: str) -> int:
        parser = argparse.ArgumentParser()
        register(parser.add_subparsers())
        args = parser.parse_args(["process", "simulate", str(tmp_path / "model"), str(requests), *words])
        code: int = args.run(args)
        return code

    assert run("--set", f"{name}={value}", "--out", str(out)) == 0
    printed = capsys.readouterr().out
    answers = [json.loads(a) for a in out.read_text().splitlines()]
    assert [a["part"] for a in answers] == ["P-1", "P-2"]
    assert answers[0]["settings"] == {name: pytest.approx(value, rel=1e-4)}
    assert printed == "\n".join(as_table(a, "EUR") for a in answers)
    assert "recommended" in printed
    assert line.process.conformance[0] in printed
    before = out.read_text()
    with pytest.raises(InvalidInput, match="must be written like"):
        run("--set", name, "--out", str(out))
    requests.write_text(json.dumps(request(line)) + "\n{oops\n")
    with pytest.raises(InvalidInput, match="line 2"):
        run("--out", str(out))
    assert out.read_text() == before
