"""Histories without a dithered row: what a part left alone comes to is not promised as if it had been seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel, load_model
from process_opt.process import parse_process
from process_opt.recommend import recommend

STEPS, EFFECT, CHANCE, GAUGE, LIMIT, PULL = 8, 0.6, 0.25, 0.3, 1.5, 0.15
"""Each step adds `EFFECT` times its setting, a chance, and `PULL` times what nobody measures of the part, to the state,
which is read at every second step and the last."""


def process():
    steps: list[dict[str, Any]] = []
    for k in range(STEPS):
        step: dict[str, Any] = {
            "name": f"s{k}",
            "cost": 0.3,
            "settings": {"force": {"unit": "kN", "low": -4, "high": 4, "nominal": 0, "change_cost": 0.1}},
        }
        if k % 2 == 0 or k == STEPS - 1:
            step["measurements"] = {"x": {"unit": "mm", "gauge_sd": GAUGE}}
        steps.append(step)
    steps[-1]["measurements"]["x"] |= {"lower": -LIMIT, "upper": LIMIT}
    part = {"value": 40.0, "scrap": 1.5, "escape": -100.0}
    return parse_process({"name": "bow", "part": part, "conformance": [f"s{STEPS - 1}.x"], "steps": steps})


def runs(n: int, rng: np.random.Generator, x: np.ndarray, first: int, dithered: np.ndarray) -> dict[str, np.ndarray]:
    """Parts at `x` before step `first`, sent on: people look at each, and write no look down."""
    out, hidden = {}, rng.standard_normal(n)
    for k in range(first, STEPS):
        look = x + 0.4 * rng.standard_normal(n)
        force = np.where(dithered, 0.5 * rng.standard_normal(n), -0.6 * look if k else 0.0)
        force = np.clip(force, -4, 4)
        x = x + EFFECT * force + PULL * hidden + CHANCE * rng.standard_normal(n)
        out[f"s{k}.force"] = force
        out[f"s{k}.x"] = x + GAUGE * rng.standard_normal(n)
    return out


def history(n: int, dither: float) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    dithered = rng.random(n) < dither
    columns = runs(n, rng, 1.5 * rng.standard_normal(n), 0, dithered)
    assignment = np.where(dithered, "dither", "operator")
    table = pd.DataFrame({"part": [f"P{i}" for i in range(n)], "disposition": "finished", "assignment": assignment})
    known = {*process().settings, *process().measurements}
    return table.assign(**{name: values for name, values in columns.items() if name in known})


@pytest.fixture(scope="module")
def blind() -> ProcessModel:
    return fit(process(), parse_history(history(1500, 0.0), process()))


def ask(model: ProcessModel, x: float, at: int) -> dict[str, Any]:
    return recommend(model, {"part": "P", "at": f"s{at}", "observed": {f"s{at - 1}.x": x, f"s{at - 1}.force": 0.0}})


def left_alone(mean: float, var: float, at: int) -> float:
    left = STEPS - at
    sd = np.sqrt(var + (PULL * left) ** 2 + CHANCE**2 * left + GAUGE**2)
    return float(norm.cdf((LIMIT - mean) / sd) - norm.cdf((-LIMIT - mean) / sd))


PLACES = [(x, at) for at in (3, 5, 7) for x in (-1.6, -0.8, 0.0, 0.8, 1.6)]


def known_of(x: float) -> tuple[float, float]:
    """Mean and variance of the state after a single reading; before it parts spread by about half a unit."""
    before = 0.5**2
    share = before / (before + GAUGE**2)
    return share * x, share * GAUGE**2


def test_intervals_hold_what_comes_of_parts_that_nobody_corrects(blind: ProcessModel) -> None:
    held = []
    for x, at in PLACES:
        low, high = ask(blind, x, at)["p_conform_interval"]
        held.append(low - 0.03 <= left_alone(*known_of(x), at) <= high + 0.03)
    assert np.mean(held) >= 0.8, held


def test_what_people_bring_about_as_usual_is_known(blind: ProcessModel) -> None:
    assert blind.handled is not None
    answer = ask(blind, 1.6, 3)
    assert answer["decision"] == "abstain"
    assert answer["settings"] == {}
    rng, n = np.random.default_rng(5), 20_000
    mean, var = known_of(1.6)
    after = runs(n, rng, mean + np.sqrt(var) * rng.standard_normal(n), 3, np.zeros(n, dtype=bool))
    usual = float(np.mean(np.abs(after[f"s{STEPS - 1}.x"]) <= LIMIT))
    told = int(answer["reason"].split("as usual the chance is ")[1].split(" %")[0].removeprefix("over "))
    assert told / 100 == pytest.approx(usual, abs=0.05)
    assert "does not identify" in answer["reason"]


def test_dithered_rows_make_settings_known_and_the_model_comes_back_from_its_folder(
    blind: ProcessModel, tmp_path
) -> None:
    blind.save(tmp_path / "blind")
    again = load_model(tmp_path / "blind")
    assert again.handled is not None
    assert ask(again, 1.6, 3)["reason"] == ask(blind, 1.6, 3)["reason"]
    seen = fit(process(), parse_history(history(1500, 0.3), process()))
    assert seen.handled is None
    assert ask(seen, 1.6, 3)["decision"] == "correct"
