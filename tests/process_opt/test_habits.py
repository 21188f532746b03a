"""What people saw and did not log is told apart from what the settings do, also where machines would not go further."""

from __future__ import annotations

import numpy as np
import pytest

from process_opt.estimate import Data, Estimate, prepare, start_estimate
from process_opt.fit import learn_effects
from process_opt.history import parse_history
from process_opt.layout import lay_out
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
    assert np.sqrt(np.mean(np.square(z))) < 2.0
    assert np.abs(z).max() < 4.5


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
    told = look_at_wish(m, p, h, 0.1 + h @ m, one, np.ones(1, dtype=np.int8), noise * one, yes)
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
    log2 = look_at_wish(m2, p2, h, h @ m2, value, np.zeros(1, dtype=np.int8), noise, yes)
    assert m2 == pytest.approx(m)
    assert p2 == pytest.approx(p)
    assert log2 == pytest.approx(log)
