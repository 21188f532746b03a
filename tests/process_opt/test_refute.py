"""Attempts to refute a fit: sound fits pass as often as promised, others are found out; and what would turn them."""

from __future__ import annotations

import numpy as np
import pytest

from process_opt.climb import climb, slope_of_each
from process_opt.em import em
from process_opt.estimate import Data, Estimate, prepare, start_estimate
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.identify import identified_levers, not_random
from process_opt.layout import lay_out
from process_opt.model import ProcessModel
from process_opt.process import parse_process
from process_opt.refute import _placebo, refute
from process_opt.report_page import as_html
from process_opt.sensitivity import as_text, robustness_value, sensitivity
from process_opt.simulate import linear_line

Fitted = tuple[Estimate, np.ndarray, Data]  # type: ignore[type-arg]


def fitted(content: dict, table) -> Fitted:  # type: ignore[type-arg,no-untyped-def]
    process = parse_process(content)
    history = parse_history(table, process)
    layout = lay_out(process, history)
    data = prepare(process, history, layout)
    estimate, covariance = climb(em(start_estimate(process, layout, data), data, passes=6), data, rounds=8)
    n = estimate.flat().size
    return estimate, covariance[:n, :n], data


@pytest.fixture(scope="module")
def sound() -> Fitted:
    line = linear_line(4, 1, states=2, hidden_look=0.4)
    return fitted(dict(line.process.source), line.history(1500, 3))


@pytest.fixture(scope="module")
def model() -> ProcessModel:
    line = linear_line(4, 1, states=2, hidden_look=0.4)
    return fit(line.process, parse_history(line.history(700, 3), line.process))


def by_name(attempts: list[dict]) -> dict[str, dict]:  # type: ignore[type-arg]
    return {a["name"]: a for a in attempts}


def test_a_placebo_is_found_to_do_nothing_as_often_as_promised(sound: Fitted) -> None:
    estimate, _, data = sound
    scores, _ = slope_of_each(estimate, data)
    known = list(range(len(estimate.process.settings)))
    each = [_placebo(estimate, data, scores, known, np.random.default_rng(s)) for s in range(12)]
    tests = sum(a.tests for a in each)
    held = sum((a.held or 0.0) * a.tests for a in each) / tests
    assert tests > 1500
    assert held == pytest.approx(0.9, abs=0.02)
    assert all(a.passed for a in each)


def test_one_scoring_step_finds_what_a_fit_with_the_placebo_finds(sound: Fitted) -> None:
    estimate, _, data = sound
    line = linear_line(4, 1, states=2, hidden_look=0.4)
    table = line.history(1500, 3)
    z = np.random.default_rng(8).uniform(-1, 1, len(table))
    content = {**line.process.source, "steps": [dict(s) for s in line.process.source["steps"]]}
    step = content["steps"][2]
    fake = {"low": -1.0, "high": 1.0, "nominal": 0.0}
    content["steps"][2] = {**step, "settings": {**step["settings"], "fake": fake}}
    bigger, covariance, _ = fitted(content, table.assign(**{f"{step['name']}.fake": z}))
    at = sum(m.weights.size for m in bigger.motions[:2])
    width = bigger.motions[2].weights.shape[1]
    places = [at + c * width + 1 + 2 + 2 for c in range(2)]
    scores, _ = slope_of_each(estimate, data)
    mine = sum(m.weights.size for m in estimate.motions[:2])
    spread = float(bigger.layout.stretch[list(bigger.process.settings).index(f"{step['name']}.fake")])
    for c, place in enumerate(places):
        each = scores[mine + c * estimate.motions[2].weights.shape[1]] * z / spread
        told, error = float(each.sum() / (each**2).sum()), float((each**2).sum() ** -0.5)
        assert np.sqrt(covariance[place, place]) == pytest.approx(error, rel=0.15)
        assert abs(bigger.flat()[place] - told) < error  # the other weights take up a little of it


def test_a_sound_fit_passes_and_says_so_in_plain_words(model: ProcessModel) -> None:
    attempts = by_name(model.report()["refutation"])
    assert set(attempts) == {
        "settings of later steps",
        "placebo settings",
        "parts by themselves",
        "random common cause",
        "early parts against late ones",
    }
    assert all(a["passed"] and a["tests"] for a in attempts.values())
    page = as_html(model.report())
    assert "Attempts to refute the effects" in page
    assert "as often as promised" in page


def test_dither_that_was_none_is_found_out_and_its_settings_are_left_alone() -> None:
    line = linear_line(5, 2, states=2)
    table = line.history(1500, 1)
    people = table.index[table["assignment"] == "operator"][::2]
    table.loc[people, "assignment"] = "dither"
    history = parse_history(table, line.process)
    followed = not_random(line.process, history)
    assert set(followed) >= {n for n in line.process.settings if not n.startswith("s01")} - {None}
    wrong = fit(line.process, history)
    assert not any(wrong.identified[name] for name in followed)
    told = by_name(wrong.report()["refutation"])["settings of later steps"]
    assert not told["passed"]
    assert "were not drawn at random" in told["words"]
    assert "it was not drawn at random there" in as_html(wrong.report())


def test_true_dither_is_never_called_none() -> None:
    for seed in range(6):
        line = linear_line(6, seed, hidden_look=0.5, scrap_beyond=1.5, missing=0.3)
        assert not_random(line.process, parse_history(line.history(1200, seed), line.process)) == {}


@pytest.mark.parametrize("mixed", [False, True])
def test_settings_that_were_only_moved_together_are_not_known_one_by_one(mixed: bool) -> None:
    line = linear_line(3, 1, states=2, missing=0.3)
    table = line.history(600, 2)
    first, other, third = (
        line.process.settings[name][1] for name in ("s01-op.lever1", "s01-op.lever2", "s02-op.lever1")
    )
    way = (table[first.name] - first.nominal) / (first.high - first.low)
    if mixed:
        way = way / 2 + (table[third.name] - third.nominal) / (third.high - third.low) / 2
    table[other.name] = other.nominal + way * (other.high - other.low)
    history = parse_history(table, line.process)
    known = identified_levers(line.process, history)
    moved = {first.name, other.name} | ({third.name} if mixed else set())
    assert {name for name, sure in known.items() if not sure} == moved
    for name in moved:
        assert [n for n in history.notes if n.startswith(f"{name} was only moved together") and "by itself" in n]


def test_settings_that_were_each_drawn_are_never_called_moved_together() -> None:
    for seed in range(6):
        line = linear_line(8, seed, missing=0.6, dither=0.25)
        table = line.history(300, seed)
        rng = np.random.default_rng(seed)
        for name in line.process.settings:
            table[name] = table[name].where(rng.random(len(table)) > 0.3)
        assert not [n for n in parse_history(table, line.process).notes if "moved together" in n]


def test_settings_held_for_several_parts_while_something_unlogged_lasts_are_found_out() -> None:
    line = linear_line(4, 1, states=2, dither=1.0, batch_size=10, batch_sd=np.full(2, 0.4))
    table = line.history(1500, 3)
    names = dict.fromkeys(line.process.settings, True)
    fair = fitted(dict(line.process.source), table)
    assert by_name(refute(*fair, names, seed=0))["parts by themselves"]["passed"]
    rng = np.random.default_rng(0)
    for name, (_, s) in line.process.settings.items():  # what it does is not in these readings: only what lasts is
        table[name] = s.nominal + (s.high - s.low) / 2 * np.repeat(rng.uniform(-0.6, 0.6, 150), 10)
    held = by_name(refute(*fitted(dict(line.process.source), table), names, seed=0))["parts by themselves"]
    assert not held["passed"]
    assert "draw the dither anew for every part" in held["words"]


def test_the_robustness_value_is_that_of_the_published_example() -> None:
    # Cinelli and Hazlett 2020, table 1 (Darfur): effect 0.097, error 0.023, 783 degrees of freedom
    t = 4.184  # as published, before effect and error were rounded
    assert robustness_value(t, 1.0, 783) == pytest.approx(0.139, abs=0.001)
    assert robustness_value(t, 1.0, 783, share=1 - 1.963 / t) == pytest.approx(0.076, abs=0.001)


def test_a_confounder_as_strong_as_the_robustness_value_takes_the_effect_away() -> None:
    rng = np.random.default_rng(3)
    n = 400_000
    r = robustness_value(0.3, 0.01, 1000)
    z = rng.standard_normal(n)
    d = np.sqrt(r) * z + np.sqrt(1 - r) * rng.standard_normal(n)
    scale = 0.01 * np.sqrt(1000)  # what is left of the reading over what is left of the setting
    y_left = np.sqrt(1 - r) * rng.standard_normal(n)
    inside = z - d * float(z @ d) / float(d @ d)
    y = scale * (np.sqrt(r) * inside / inside.std() + y_left)  # explains a share r of the reading given the setting
    both = np.linalg.lstsq(np.column_stack([d, z]), y, rcond=None)[0]
    assert abs(both[0]) == pytest.approx(0.3, rel=0.03)  # the naive fit says 0, the truth is the whole effect


def test_the_bound_says_what_would_turn_each_setting(model: ProcessModel) -> None:
    found = sensitivity(model)
    assert [r.setting for r in found] == [n for n in model.process.settings if n in {r.setting for r in found}]
    for r in found:
        assert 0 <= r.surely <= r.sign <= 1
        assert r.decision is None or r.decision <= r.sign + 1e-9
        assert 0 < r.random < 1
        assert r.explained is not None
    assert "an unlogged look would have to explain" in as_text(found)


def test_what_was_drawn_at_random_throughout_cannot_be_confounded() -> None:
    assert robustness_value(0.1, 0.05, 500, exposed=0.0) == 1.0
    half, whole = (robustness_value(0.1, 0.05, 500, exposed=e) for e in (0.5, 1.0))
    assert half > whole


def test_a_history_beyond_what_a_fit_looks_at_gives_nearly_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    line = linear_line(3, 1, states=2)
    history = parse_history(line.history(1500, 3), line.process)
    whole = fit(line.process, history)
    monkeypatch.setattr("process_opt.fit.MOST_ROWS", 900)
    part = fit(line.process, history)
    assert part.about["learnt_from"] == 900
    assert part.batches.names == whole.batches.names
    for a, b in zip(whole.motions, part.motions, strict=True):
        assert b.weights == pytest.approx(a.weights, abs=0.1)
