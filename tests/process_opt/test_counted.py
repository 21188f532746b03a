"""Counts and amounts: the mathematics, and a scratch traced to the setting that makes it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import poisson, truncnorm

from process_opt.belief import believe
from process_opt.counted import COUNT, between, expected, hidden, limits_of, look_between, truncated
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel, load_model
from process_opt.outlook import limits, look_ahead, probabilities
from process_opt.process import Process, parse_process
from process_opt.recommend import recommend
from process_opt.state_space import look
from process_opt.what_if import what_if
from qc.errors import InvalidInput

CAMERA, POLISH, LAST = "s09-camera", "s10-polish", "s12-camera"
PARTS = 2500


def content() -> dict[str, Any]:
    """Twelve steps: a press whose pressure scratches, a camera, polishing, a last camera whose count decides."""
    lever = {"unit": "bar", "low": 10.0, "high": 20.0, "nominal": 15.0, "change_cost": 0.02}
    seen = {"from": {"station": "cam-1", "class": "scratch", "what": "count"}}
    last = {"from": {"station": "cam-2", "class": "scratch", "what": "count"}, "upper": 2}
    steps: list[dict[str, Any]] = [
        {"name": f"s{k:02d}-op", "cost": 0.1, "settings": {"force": dict(lever)}} for k in range(1, 13)
    ]
    steps[3] = {"name": "s04-press", "cost": 0.1, "settings": {"pressure": dict(lever)}}
    steps[8] = {"name": CAMERA, "cost": 0.1, "measurements": {"scratches": seen}}
    steps[9] = {"name": POLISH, "cost": 0.1, "setup_cost": 0.2, "settings": {"time": dict(lever)}}
    steps[11] = {"name": LAST, "cost": 0.1, "measurements": {"scratches": last}}
    return {
        "name": "polished-bar",
        "currency": "EUR",
        "part": {"value": 40.0, "scrap": 2.0, "escape": -60.0},
        "conformance": [f"{LAST}.scratches"],
        "steps": steps,
    }


def rate(pressure: Any) -> Any:
    """Scratches that the press makes, on average; pressure in half ranges from nominal."""
    return np.exp(0.3 + 1.4 * np.asarray(pressure))


def removed(time: Any) -> Any:
    """Chance that polishing takes a scratch away."""
    return 1 / (1 + np.exp(-(-0.8 + 2.0 * np.asarray(time))))


def made(n: int, seed: int) -> pd.DataFrame:
    """A history: scratches come and go one by one, so nothing about them is normal."""
    rng = np.random.default_rng(seed)
    process = parse_process(content())
    dither = rng.random(n) < 0.5
    table: dict[str, Any] = {
        "part": [f"H{i}" for i in range(n)],
        "disposition": "finished",
        "assignment": np.where(dither, "dither", "operator"),
    }
    v = {name: np.clip(0.4 * rng.standard_normal(n), -1, 1) for name in process.settings}
    n4 = rng.poisson(rate(v["s04-press.pressure"])) + rng.poisson(0.3, n)
    eager = np.clip(0.15 * (n4 - 1.5) + 0.2 * rng.standard_normal(n), -1, 1)
    v[f"{POLISH}.time"] = np.where(dither, v[f"{POLISH}.time"], eager)
    left = rng.binomial(n4, 1 - removed(v[f"{POLISH}.time"]))
    inspected = rng.random(n) > 0.2  # the first camera sees four parts in five
    for name, (_, s) in process.settings.items():
        table[name] = s.nominal + v[name] * (s.high - s.low) / 2
    table[f"{CAMERA}.scratches"] = np.where(inspected, n4, np.nan)
    table[f"{LAST}.scratches"] = left
    return pd.DataFrame(table)


@pytest.fixture(scope="module")
def process() -> Process:
    return parse_process(content())


@pytest.fixture(scope="module")
def model(process: Process) -> ProcessModel:
    return fit(process, parse_history(made(PARTS, 1), process))


def test_a_normal_number_between_two_borders_has_the_moments_of_the_books() -> None:
    rng = np.random.default_rng(0)
    a = 3 * rng.standard_normal(100)
    b = a + rng.exponential(size=100)
    mean, variance, _ = truncated(a, b)
    known = [truncnorm(x, y) for x, y in zip(a, b, strict=True)]
    assert mean == pytest.approx(np.array([k.mean() for k in known]), abs=1e-6)
    assert variance == pytest.approx(np.array([k.var() for k in known]), abs=1e-6)
    half = truncated(np.array([-np.inf]), np.array([0.0]))
    assert (float(half[0][0]), float(half[1][0])) == pytest.approx((-math.sqrt(2 / math.pi), 1 - 2 / math.pi))
    assert float(half[2][0]) == pytest.approx(math.log(0.5))
    far = truncated(np.array([-1e6, 40.0]), np.array([-9e5, np.inf]))
    assert np.isfinite(far[0]).all()
    assert (far[1] > 0).all()


@pytest.mark.parametrize("mean", [0.05, 0.3, 1.0, 3.0, 12.0])
def test_every_limit_of_a_poisson_count_rare_or_frequent_has_its_true_chance(mean: float) -> None:
    from scipy.special import ndtr

    counts = np.random.default_rng(1).poisson(mean, 20_000).astype(float)
    middle, variance = hidden(COUNT, counts)
    for n in range(int(3 * mean) + 4):
        upper = limits_of(COUNT, -math.inf, n)[1]
        assert ndtr((upper - middle) / math.sqrt(variance)) == pytest.approx(poisson.cdf(n, mean), abs=0.025)
    assert expected(COUNT, middle, math.sqrt(variance)) == pytest.approx(mean, rel=0.05, abs=0.02)


def test_limits_lie_between_whole_numbers() -> None:
    low, high = between(COUNT, np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
    for n in range(5):
        assert limits_of(COUNT, n, n) == pytest.approx((float(low[n]), float(high[n])))
    assert limits_of(COUNT, 0, 2.7) == limits_of(COUNT, -math.inf, 2)
    assert limits_of("amount", 0, 9.0) == (-math.inf, 3.0)


def test_an_exact_amount_is_taken_in_like_any_reading() -> None:
    m, p = np.array([[0.3], [0.1]]), np.array([[1.0, 0.4], [0.4, 2.0]])[:, :, None]
    m2, p2 = m.copy(), p.copy()
    _, told = look(m, p, np.array([1.0, 0.0]), np.array([1.1 - 0.3]), 0.2, np.array([True]))
    _, _, same, site = look_between(m2, p2, 0, np.array([1.1]), np.array([1.1]), 0.2, np.array([True]))
    assert m2 == pytest.approx(m)
    assert p2 == pytest.approx(p)
    assert same == pytest.approx(told)
    assert (float(site[0][0]), float(site[1][0])) == pytest.approx((1.1, 0.2))


def test_the_chance_of_a_count_within_its_limit_is_the_share_of_parts_that_keep_it(model: ProcessModel) -> None:
    table = made(4000, 7)
    table = table[(table["assignment"] == "dither") & table[f"{CAMERA}.scratches"].notna()]
    said, kept = [], []
    for row in table.head(700).to_dict("records"):
        early = {str(n): float(x) for n, x in row.items() if "." in str(n) and str(n) < POLISH and x == x}
        v = model.layout.settings(np.array([row[name] for name in model.process.settings]))
        ahead = look_ahead(model, believe(model, early, 9), v, frozenset())
        said.append(float(probabilities(ahead).mean()))
        kept.append(row[f"{LAST}.scratches"] <= 2)
    said_, kept_ = np.array(said), np.array(kept)
    assert said_.mean() == pytest.approx(kept_.mean(), abs=0.04)
    order = np.argsort(said_)
    off = [abs(said_[part].mean() - kept_[part].mean()) for part in np.array_split(order, 5)]
    assert np.mean(off) < 0.05


def test_scratches_are_traced_to_the_press_and_the_plan_polishes(model: ProcessModel) -> None:
    observed = {name: s.nominal for name, (k, s) in model.process.settings.items() if k < 9}
    observed["s04-press.pressure"] = 19.0
    answer = recommend(model, {"part": "P", "at": POLISH, "observed": {**observed, f"{CAMERA}.scratches": 5}})
    assert answer["causes"][0]["step"] == "s04-press"
    assert answer["causes"][0]["share"] > 0.5
    assert answer["decision"] == "correct"
    assert answer["settings"][f"{POLISH}.time"] > 16.0
    clean = recommend(model, {"part": "P", "at": POLISH, "observed": {**observed, f"{CAMERA}.scratches": 0}})
    assert clean["p_conform"] > answer["p_conform"]
    assert f"{POLISH}.time" not in clean["settings"]


def test_a_part_that_nobody_inspected_has_no_reading_and_not_none_found(model: ProcessModel) -> None:
    observed = {"s04-press.pressure": 19.0}
    unseen = what_if(model, {"part": "P", "at": POLISH, "observed": observed}, {})
    clean = what_if(model, {"part": "P", "at": POLISH, "observed": {**observed, f"{CAMERA}.scratches": 0}}, {})
    assert unseen["p_conform"] < clean["p_conform"] - 0.1
    expected_count = unseen["path"][-1]["readings"][f"{LAST}.scratches"]
    assert expected_count["low"] == round(expected_count["low"])
    assert 0.5 < expected_count["mean"] < 10


def test_a_model_with_counts_comes_back_from_its_folder(model: ProcessModel, tmp_path: Any) -> None:
    model.save(tmp_path / "model")
    back = load_model(tmp_path / "model")
    assert back.id == model.id
    assert limits(back)[1] == pytest.approx(limits(model)[1])


@pytest.mark.parametrize(
    ("measurement", "message"),
    [
        ({"from": {"station": "c", "what": "weight"}}, "what must be one of count"),
        ({"from": {"what": "count"}}, "must name the station"),
        ({"from": {"station": "c", "what": "count"}, "gauge_sd": 0.1}, "leave gauge_sd out"),
        ({"from": {"station": "c", "what": "count"}, "kind": "amount"}, "leave kind out"),
        ({"kind": "count", "lower": 1.2, "upper": 1.8}, "no whole number"),
        ({"kind": "heap"}, "kind must be one of"),
    ],
)
def test_a_mistake_in_what_a_camera_reads_is_named(measurement: dict[str, Any], message: str) -> None:
    wrong = content()
    wrong["steps"][8]["measurements"] = {"pits": measurement}
    with pytest.raises(InvalidInput, match=message):
        parse_process(wrong)


def test_half_a_scratch_is_refused(process: Process) -> None:
    table = made(60, 3)
    table[f"{LAST}.scratches"] = table[f"{LAST}.scratches"].astype(float)
    table.loc[4, f"{LAST}.scratches"] = 1.5
    with pytest.raises(InvalidInput, match=r"row 6: s12-camera\.scratches is a count"):
        parse_history(table, process)
