"""Machines of one step differ: the history says which ran a part, and the advice knows what each does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from process_opt.fit import fit
from process_opt.history import parse_history, read_history
from process_opt.model import ProcessModel, load_model
from process_opt.process import Process, parse_process
from process_opt.recommend import recommend
from process_opt.what_if import what_if
from qc.errors import InvalidInput

MILLS = ("M1", "M2", "M3")
OFFSET = {"M1": -0.08, "M2": 0.01, "M3": 0.07}
"""What the mills add to the diameter, mm."""


def step(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "cost": 0.2,
        "settings": {"feed": {"unit": "mm", "low": -0.2, "high": 0.2, "nominal": 0.0}},
        "measurements": {"diameter": {"unit": "mm", "gauge_sd": 0.01}},
        **more,
    }


@pytest.fixture(scope="module")
def process() -> Process:
    last = step("s4-grind")
    last["measurements"]["diameter"] |= {"lower": 11.94, "upper": 12.06}
    return parse_process(
        {
            "name": "shaft",
            "part": {"value": 40.0, "scrap": 1.0, "escape": -80.0},
            "conformance": ["s4-grind.diameter"],
            "steps": [step("s1-turn"), step("s2-mill", machines=list(MILLS)), step("s3-heat"), last],
        }
    )


def history(n: int, seed: int, offset: dict[str, float]) -> pd.DataFrame:
    """Parts whose diameter each step moves by its feed; the mills add what is theirs."""
    rng = np.random.default_rng(seed)
    mill = rng.choice(MILLS, n, p=[0.5, 0.3, 0.2])
    dithered = rng.random(n) < 0.5
    x = 12.0 + 0.03 * rng.standard_normal(n)
    columns: dict[str, Any] = {}
    for k, name in enumerate(("s1-turn", "s2-mill", "s3-heat", "s4-grind")):
        feed = np.where(dithered, 0.06 * rng.standard_normal(n), -0.5 * (x - 12.0))
        feed = np.clip(feed, -0.2, 0.2)
        x = x + (0.8 - 0.1 * k) * feed + 0.012 * rng.standard_normal(n)
        if name == "s2-mill":
            x = x + np.array([offset[m] for m in mill])
            columns["s2-mill.machine"] = mill
        columns[f"{name}.feed"] = feed
        columns[f"{name}.diameter"] = x + 0.01 * rng.standard_normal(n)
    return pd.DataFrame(
        {
            "part": [f"P{i}" for i in range(n)],
            "disposition": "finished",
            "assignment": np.where(dithered, "dither", "operator"),
            **columns,
        }
    )


@pytest.fixture(scope="module")
def model(process: Process) -> ProcessModel:
    return fit(process, parse_history(history(1500, 1, OFFSET), process))


def ask(model: ProcessModel, machines: dict[str, str] | None) -> dict[str, Any]:
    request = {"part": "P", "at": "s2-mill", "observed": {"s1-turn.diameter": 12.0, "s1-turn.feed": 0.0}}
    answer = recommend(model, request if machines is None else {**request, "machines": machines})
    return answer | {"elapsed_ms": 0.0}


def test_what_each_machine_adds_is_found_and_only_where_machines_differ(model: ProcessModel) -> None:
    usual = 0.5 * OFFSET["M1"] + 0.3 * OFFSET["M2"] + 0.2 * OFFSET["M3"]
    for m, name in enumerate(MILLS):
        found = model.machine_shifts[m, 1, 0] * model.layout.scale[0]
        assert found == pytest.approx(OFFSET[name] - usual, abs=0.01)
    assert not model.machine_shifts[:, [0, 2, 3]].any()
    assert [row["machine"] for row in model.report()["steps"][1]["machines"]] == list(MILLS)


def test_what_a_machine_adds_is_found_where_only_a_later_step_is_read(process: Process) -> None:
    content = dict(process.source) | {"steps": [dict(one) for one in process.source["steps"]]}
    del content["steps"][1]["measurements"]
    unread = parse_process(content)
    table = history(1500, 1, OFFSET).drop(columns="s2-mill.diameter")
    model = fit(unread, parse_history(table, unread))
    after = {name: left_alone(model, name) for name in MILLS}
    for one in MILLS:
        apart = after[one]["mean"] - after["M2"]["mean"]
        assert apart == pytest.approx(OFFSET[one] - OFFSET["M2"], abs=0.01)
        sd = (after[one]["high"] - after[one]["low"]) / (2 * 1.645)
        assert sd == pytest.approx(np.sqrt(2 * 0.012**2 + 2 * 0.01**2), rel=0.3), "0.06 with the mills' spread"


def left_alone(model: ProcessModel, mill: str) -> dict[str, float]:
    """The diameter foretold for after s3-heat, of a part that this mill is to run."""
    request = {"part": "P", "at": "s2-mill", "observed": {"s1-turn.diameter": 12.0, "s1-turn.feed": 0.0}}
    path = what_if(model, {**request, "machines": {"s2-mill": mill}}, {})["path"]
    found: dict[str, float] = next(one for one in path if one["step"] == "s3-heat")["readings"]["s3-heat.diameter"]
    return found


def test_the_advice_meets_what_the_machine_to_come_will_do(model: ProcessModel) -> None:
    by = {name: ask(model, {"s2-mill": name}) for name in MILLS}
    feed = {name: sum(answer["settings"].values()) for name, answer in by.items()}
    assert feed["M1"] > feed["M3"] + 0.1
    unknown = ask(model, None)
    assert all(answer["p_conform"] > unknown["p_conform"] for answer in by.values())
    request = {"part": "P", "at": "s2-mill", "observed": {"s1-turn.diameter": 12.0, "s1-turn.feed": 0.0}}
    left = [what_if(model, {**request, "machines": {"s2-mill": name}}, {}) for name in MILLS]
    last = [answer["path"][-1]["readings"]["s4-grind.diameter"]["mean"] for answer in left]
    assert last == sorted(last)
    assert last[2] - last[0] == pytest.approx(OFFSET["M3"] - OFFSET["M1"], abs=0.02)


def test_a_machine_that_ran_few_parts_or_none_makes_a_plan_hardly_surer(process: Process) -> None:
    table = history(1500, 1, OFFSET)
    mills = table["s2-mill.machine"].to_numpy(copy=True)
    alone = fit(process, parse_history(table[mills != "M3"].reset_index(drop=True), process))
    assert not alone.machine_shifts[2].any(), "never seen"
    assert ask(alone, {"s2-mill": "M3"}) == ask(alone, None)
    assert alone.machine_surer[0, 1, 0] > 0
    rare = np.flatnonzero(mills == "M3")[2:]
    few = fit(process, parse_history(table.drop(index=rare).reset_index(drop=True), process))
    assert 0 < few.machine_surer[2, 1, 0] < few.machine_surer[0, 1, 0]


def test_a_model_from_its_folder_knows_its_machines(model: ProcessModel, tmp_path) -> None:
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert ask(again, {"s2-mill": "M3"}) == ask(model, {"s2-mill": "M3"})
    assert "M3" in (tmp_path / "model" / "report.html").read_text(encoding="utf-8")


def test_machines_that_do_not_differ_are_not_told_apart(process: Process) -> None:
    alike = fit(process, parse_history(history(600, 2, dict.fromkeys(MILLS, 0.0)), process))
    assert not alike.machine_shifts.size
    assert ask(alike, {"s2-mill": "M1"}) == ask(alike, None)


def test_machines_that_nobody_knows_are_refused_by_name(process: Process, model: ProcessModel, tmp_path) -> None:
    table = history(60, 3, OFFSET)
    table.loc[7, "s2-mill.machine"] = "M9"
    with pytest.raises(InvalidInput, match=r"row 9: s2-mill\.machine is 'M9'; the step has M1, M2, M3"):
        parse_history(table, process)
    with pytest.raises(InvalidInput, match="machine 'M9' of s2-mill is not known"):
        ask(model, {"s2-mill": "M9"})
    with pytest.raises(InvalidInput, match="s3-heat is not known; the step has no machines"):
        ask(model, {"s3-heat": "M1"})
    with pytest.raises(InvalidInput, match="which is not a step"):
        ask(model, {"s9": "M1"})
    table.loc[7, "s2-mill.machine"] = ""
    table.to_csv(tmp_path / "h.csv", index=False)
    assert (read_history(tmp_path / "h.csv", process).machine == parse_history(table, process).machine).all()


def test_machines_named_by_numbers_come_back_from_a_file(process: Process, tmp_path) -> None:
    content = dict(process.source)
    content["steps"] = [s | ({"machines": ["1", "2"]} if s["name"] == "s2-mill" else {}) for s in content["steps"]]
    numbered = parse_process(content)
    table = history(60, 3, OFFSET)
    table["s2-mill.machine"] = ["1", "2", ""] * 20
    table.to_csv(tmp_path / "h.csv", index=False)
    assert read_history(tmp_path / "h.csv", numbered).machine[0].tolist() == [0, 1, -1] * 20
