"""The mathematics, against direct computation and known truth."""

from __future__ import annotations

import numpy as np
import pytest

from process_opt.climb import climb
from process_opt.em import em
from process_opt.estimate import prepare, start_estimate
from process_opt.history import parse_history
from process_opt.layout import lay_out
from process_opt.outlook import Outlook, probabilities
from process_opt.simulate import linear_line
from process_opt.smoother import Line, Records, smooth
from process_opt.state_space import Motion


def test_filtering_and_smoothing_equal_conditioning_one_large_gaussian() -> None:
    rng = np.random.default_rng(0)
    d, steps = 2, 4
    terms = (((), -1), ((), 0), ((), 1), ((0,), -1), ((0,), 1))
    motions = [
        Motion(terms, np.hstack([rng.normal(size=(d, 1)), np.eye(d) + 0.2 * rng.normal(size=(d, d)),
        rng.normal(size=(d, 2))]),
               np.diag(rng.uniform(0.1, 0.5, d)), np.ones(1))
        for _ in range(steps)
    ]  # fmt: skip
    gauge = np.array([0.1, 0.2, 0.3])
    reads = (((0, 0),), (), ((1, 1),), ((2, 0),))
    v = rng.normal(size=(steps, 1))
    y = rng.normal(size=(3, 1))
    start = (np.array([0.3, -0.1]), np.array([[1.0, 0.2], [0.2, 0.5]]))
    levers = tuple((k,) for k in range(steps))
    path = smooth(Line(motions, reads, levers, gauge, start), Records(y, v, np.array([False]), [None] * steps))
    mean, cov = [start[0]], np.zeros((d * (steps + 1), d * (steps + 1)))
    cov[:d, :d] = start[1]
    for k, motion in enumerate(motions):
        a, b = motion.map(v[k : k + 1])
        a = a[:, :, 0]
        mean.append(a @ mean[-1] + b[:, 0])
        here, before = slice(d * (k + 1), d * (k + 2)), slice(d * k, d * (k + 1))
        cov[here, : d * (k + 1)] = a @ cov[before, : d * (k + 1)]
        cov[: d * (k + 1), here] = cov[here, : d * (k + 1)].T
        cov[here, here] = a @ cov[before, before] @ a.T + motion.noise
    h = np.zeros((3, d * (steps + 1)))
    h[0, d + 0] = h[1, 3 * d + 1] = h[2, 4 * d + 0] = 1
    flat = np.concatenate(mean)
    s = h @ cov @ h.T + np.diag(gauge)
    gain = cov @ h.T @ np.linalg.inv(s)
    expected, left = flat + gain @ (y[:, 0] - h @ flat), cov - gain @ h @ cov
    got = np.concatenate([path.start[:, 0]] + [m[:, 0] for m in path.mean])
    assert got == pytest.approx(expected)
    assert path.cov[1][:, :, 0] == pytest.approx(left[2 * d : 3 * d, 2 * d : 3 * d])
    assert path.cross[2][:, :, 0] == pytest.approx(left[3 * d : 4 * d, 2 * d : 3 * d])
    r = y[:, 0] - h @ flat
    exact = -0.5 * (r @ np.linalg.solve(s, r) + np.linalg.slogdet(2 * np.pi * s)[1])
    assert path.log_likelihood == pytest.approx(exact)


def test_effects_are_right_although_operators_saw_more_than_was_logged() -> None:
    line = linear_line(10, 0, hidden_look=0.5)
    history = parse_history(line.history(4000, 1), line.process)
    layout = lay_out(line.process, history)
    data = prepare(line.process, history, layout)
    estimate = em(start_estimate(line.process, layout, data), data, passes=6)
    estimate, _ = climb(estimate, data, rounds=8)
    wrong, size = 0.0, 0.0
    for k, motion in enumerate(estimate.motions):
        levers = line.process.steps[k].settings
        for j, setting in enumerate(levers):
            v = np.zeros((1, len(levers)))
            v[0, j] = 1.0
            place = layout.levers[k][j]
            half = (setting.high - setting.low) / 2
            truth = (
                line.truths[k].move(np.zeros((1, 3)), v)[0] * line.unit / layout.scale * layout.stretch[place] / half
            )
            wrong += float(((motion.weights[:, 4 + j] - truth) ** 2).sum())
            size += float((truth**2).sum())
    assert np.sqrt(wrong / size) < 0.09  # adjusted for the noisy readings alone it is 0.2 and more


def test_the_joint_chance_equals_a_plain_simulation() -> None:
    rng = np.random.default_rng(1)
    root = rng.normal(size=(3, 3))
    cov = root @ root.T
    mean = np.array([0.3, -0.2, 0.1])
    lower, upper = np.array([-1.0, -np.inf, -2.0]), np.array([1.5, 1.0, 2.0])
    outlook = Outlook(
        mean[:, None], cov[:, :, None], np.zeros((3, 0, 1)), np.zeros(0), np.zeros(0, dtype=np.int64), lower, upper,
        True,
        np.zeros((3, 2, 1)),
    )  # fmt: skip
    x = rng.multivariate_normal(mean, cov, size=200_000)
    plain = ((x >= lower) & (x <= upper)).all(axis=1).mean()
    assert probabilities(outlook)[0] == pytest.approx(plain, abs=0.01)
