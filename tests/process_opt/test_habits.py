"""What people saw and did not log is told apart from what the settings do, also where machines would not go further."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from process_opt.estimate import Data, Estimate, prepare, start_estimate
from process_opt.fit import learn_effects
from process_opt.history import parse_history
from process_opt.layout import lay_out
from process_opt.process import Process, parse_process
from process_opt.simulate import Line, linear_line
from process_opt.state_space import look, look_at_wish, wished


def learnt(line: Line, rows: int) -> tuple[Estimate, np.ndarray, Data]:
    history = parse_history(line.history(rows, 10), line.process)
    layout = lay_out(line.process, history)
    data = prepare(line.process, history, layout)
    few = np.random.default_rng(0)
    estimate, covariance, _ = learn_effects(
        lambda rows: start_estimate(line.process, layout, rows), data, few, seed=0, say=lambda _text, _share: None
    )
    return estimate, covariance, data


def true_response(line: Line, estimate: Estimate, place: int) -> np.ndarray:
    """`L` of a setting in the model's units."""
    k, lever = list(line.process.settings.values())[place]
    half = (lever.high - lever.low) / 2
    own = estimate.layout.levers[k].index(place)
    return (
        line.hidden_look * line.truths[k].steer[own] * half / estimate.layout.stretch[place]
        * estimate.layout.scale / line.unit
    )  # fmt: skip


def errors(line: Line, estimate: Estimate, covariance: np.ndarray) -> np.ndarray:
    """Every effect of a setting less its truth, in its own standard deviations."""
    sd = np.sqrt(np.diag(covariance)[: estimate.flat().size])
    at, z = 0, []
    for motion, truth, levers in zip(estimate.motions, line.truths, estimate.layout.levers, strict=True):
        d, f = motion.weights.shape
        for own, place in enumerate(levers):
            step = np.zeros((1, 2))
            step[0, own] = 1.0
            _, lever = list(line.process.settings.values())[place]
            moves = (truth.move(np.zeros((1, 2)), step) - truth.move(np.zeros((1, 2)), 0 * step))[0]
            per = line.unit / estimate.layout.scale * estimate.layout.stretch[place] / ((lever.high - lever.low) / 2)
            column = 1 + d + own
            z += list((motion.weights[:, column] - moves * per) / sd[at + np.arange(d) * f + column])
        at += d * f
    return np.array(z)


@pytest.mark.parametrize("hidden_look", [0.0, 0.5])
def test_what_people_saw_is_found_though_half_of_their_settings_stand_at_a_limit(hidden_look: float) -> None:
    line = linear_line(3, 0, states=2, hidden_look=hidden_look)
    estimate, covariance, data = learnt(line, 4000)
    pressed = (data.pressed != 0).sum(axis=1) / data.people.sum()
    assert pressed[2:].max() > 0.4
    off, size = [], []
    for place in range(2, 6):
        off.append(estimate.habits[place].seen - true_response(line, estimate, place))
        size.append(estimate.habits[place].logged)
    assert np.sqrt(np.mean(np.square(off))) < 0.15 * np.sqrt(np.mean(np.square(size)))
    noises = [estimate.habits[place].noise for place in range(2, 6)]
    assert max(noises) < 1.5 * min(noises)  # in truth all are as exact as the others, pressed or not
    z = np.abs(errors(line, estimate, covariance))
    assert np.sqrt(np.mean(z**2)) < 2.0
    assert z.max() < 4.5


@pytest.mark.parametrize("hidden_look", [0.0, 0.5])
def test_readings_that_people_saw_and_nobody_wrote_down_do_not_spoil_the_effects(hidden_look: float) -> None:
    line = linear_line(8, 0, states=2, hidden_look=hidden_look, missing=0.6)
    line.truths = [replace(truth, steer=0.3 * truth.steer) for truth in line.truths]  # seldom at a limit
    estimate, covariance, _ = learnt(line, 3000)
    assert estimate.unlogged
    z = np.abs(errors(line, estimate, covariance))
    assert np.sqrt(np.mean(z**2)) < 1.5
    assert z.max() < 4.5


def three_steps(taken: bool, rng: np.random.Generator, n: int = 3000) -> tuple[Process, pd.DataFrame]:
    """A first look at each part, a second at half of them, then a lever that people set against what they know.

    Args:
        taken: the second look was taken at all parts, and half of it is not on record; else people of the other half
            answer to the first.
    """
    lever = {"low": -5.0, "high": 5.0, "nominal": 0.0}
    steps = [
        {"name": "s1", "measurements": {"x": {"gauge_sd": 0.1}}},
        {"name": "s2", "measurements": {"x": {"gauge_sd": 0.1}}},
        {"name": "s3", "settings": {"v": lever}, "measurements": {"x": {"gauge_sd": 0.1, "upper": 1.0}}},
    ]
    money = {"value": 10.0, "scrap": 0.0, "escape": -10.0}
    process = parse_process({"name": "three", "part": money, "conformance": ["s3.x"], "steps": steps})
    x = rng.standard_normal(n)
    first = x + 0.1 * rng.standard_normal(n)
    x = x + rng.standard_normal(n)
    second = x + 0.1 * rng.standard_normal(n)
    logged = rng.random(n) < 0.5
    known = second if taken else np.where(logged, second, first)
    dither = rng.random(n) < 0.2
    v = np.where(dither, rng.standard_normal(n), -0.8 * known + 0.3 * rng.standard_normal(n))
    x = x + 0.5 * v + 0.3 * rng.standard_normal(n)
    table = {
        "part": [f"P{i}" for i in range(n)],
        "disposition": "finished",
        "assignment": np.where(dither, "dither", "operator"),
        "s1.x": first,
        "s2.x": np.where(logged, second, np.nan),
        "s3.v": v,
        "s3.x": x + 0.1 * rng.standard_normal(n),
    }
    return process, pd.DataFrame(table)


@pytest.mark.parametrize("taken", [True, False])
def test_whether_a_missing_reading_was_taken_is_read_from_what_people_did(taken: bool) -> None:
    process, table = three_steps(taken, np.random.default_rng(3))
    history = parse_history(table, process)
    layout = lay_out(process, history)
    data = prepare(process, history, layout)
    estimate, covariance, _ = learn_effects(
        lambda rows: start_estimate(process, layout, rows),
        data,
        np.random.default_rng(0),
        seed=0,
        say=lambda _text, _share: None,
    )
    assert estimate.unlogged is taken
    told = float(estimate.motions[2].weights[0, 2]) * layout.scale[0] / layout.stretch[0]
    place = sum(m.weights.size for m in estimate.motions[:2]) + 2
    sd = float(np.sqrt(covariance[place, place])) * layout.scale[0] / layout.stretch[0]
    assert told == pytest.approx(0.5, abs=4 * sd)
    assert sd < 0.02


def test_a_switch_is_not_pressed_against_its_limits() -> None:
    line = linear_line(3, 0, states=2)
    table = line.history(400, 1)
    name, (_, lever) = list(line.process.settings.items())[2]
    table[name] = np.where(table[name] > lever.nominal, lever.high, lever.low)
    history = parse_history(table, line.process)
    data = prepare(line.process, history, lay_out(line.process, history))
    assert not data.pressed[2].any()
    assert data.pressed[3].any()
    assert not data.pressed[:, ~data.people].any()


def test_a_wish_beyond_the_limit_has_the_moments_of_many_drawn_ones() -> None:
    rng = np.random.default_rng(0)
    h, noise = np.array([0.8, -0.3]), 0.5
    mean, cov = np.array([0.4, -0.2]), np.array([[1.0, 0.3], [0.3, 0.6]])
    x = rng.multivariate_normal(mean, cov, 400_000)
    wish = 0.1 + x @ h + np.sqrt(noise) * rng.standard_normal(len(x))
    over = x[wish > 1.0]
    m, p = mean[:, None].copy(), cov[:, :, None].copy()
    one, yes = np.ones(1), np.ones(1, dtype=bool)
    told = look_at_wish(m, p, h[:, None], 0.1 + h @ m, one, np.ones(1, dtype=np.int8), noise * one, yes)
    assert m[:, 0] == pytest.approx(over.mean(axis=0), abs=0.01)
    assert p[:, :, 0] == pytest.approx(np.cov(over.T), abs=0.01)
    assert float(told[0]) == pytest.approx(np.log(len(over) / len(x)), abs=0.01)
    mine, _ = wished(one, np.ones(1, dtype=np.int8), 0.1 + h @ mean * one, h @ cov @ h + noise, yes)
    assert float(mine[0]) == pytest.approx(wish[wish > 1.0].mean(), abs=0.01)


def test_a_setting_within_its_limits_is_taken_in_like_any_look() -> None:
    h, noise, value = np.array([0.8, -0.3]), np.array([0.5]), np.array([0.7])
    m, p = np.array([[0.4], [-0.2]]), np.array([[1.0, 0.3], [0.3, 0.6]])[:, :, None]
    m2, p2 = m.copy(), p.copy()
    yes = np.ones(1, dtype=bool)
    _, log = look(m, p, h, value - h @ m, noise, yes)
    log2 = look_at_wish(m2, p2, h[:, None], h @ m2, value, np.zeros(1, dtype=np.int8), noise, yes)
    assert m2 == pytest.approx(m)
    assert p2 == pytest.approx(p)
    assert log2 == pytest.approx(log)
