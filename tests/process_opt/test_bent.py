"""Levers that wear off towards their limits, and act together, are found as such; straight ones stay straight."""

from __future__ import annotations

import numpy as np
import pandas as pd

from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel
from process_opt.nonlinear import least_passing
from process_opt.process import parse_process
from process_opt.simulate import Line, bent_line, linear_line


def learnt(line: Line) -> ProcessModel:
    return fit(line.process, parse_history(line.history(4000, 3), line.process))


def ends(line: Line, model: ProcessModel, k: int, own: int) -> tuple[np.ndarray, np.ndarray]:
    """What lever `own` of step `k` does from nominal to its upper limit, as learnt and in truth, standardised."""
    _, lever = model.process.settings[model.process.steps[k].settings[own].name]
    v, units = np.zeros((2, 2)), np.zeros((2, 2))
    units[1, own] = 1.0
    v[own, 1] = (lever.high - lever.nominal) / model.layout.stretch[model.layout.levers[k][own]]
    told = model.motions[k].move(v, np.zeros((2, 2)))
    true = line.truths[k].move(np.zeros((2, 2)), units) * line.unit / model.layout.scale
    return told[:, 1] - told[:, 0], true[1] - true[0]


def test_a_lever_at_its_limit_is_known_to_do_less_than_it_seems_near_nominal() -> None:
    line = bent_line(4, 1, states=2, hidden_look=0.5)
    model = learnt(line)
    pairs = [ends(line, model, k, own) for k in range(4) for own in range(2)]
    told, true = (np.array([pair[i] for pair in pairs]) for i in range(2))
    straight = np.array([2 * t for t in true])  # what it would do if it went on as it begins
    assert np.abs(told - true).mean() < 0.35 * np.abs(straight - true).mean()
    bends = [any(len(term[0]) > 1 for term in motion.terms) for motion in model.motions]
    assert sum(bends) > len(bends) / 2


def test_a_straight_line_stays_straight() -> None:
    model = learnt(linear_line(4, 1, states=2))
    assert all(len(term[0]) <= 1 and not (term[0] and term[1] >= 0) for m in model.motions for term in m.terms)


def test_a_bend_is_seen_at_a_step_before_which_nothing_was_read() -> None:
    rng = np.random.default_rng(2)
    force = rng.standard_normal(800)
    process = parse_process(
        {
            "name": "press", "part": {"value": 1.0, "scrap": 0.0, "escape": -1.0}, "conformance": ["press.depth"],
            "steps": [{
                "name": "press",
                "settings": {"force": {"low": -5.0, "high": 5.0, "nominal": 0.0}},
                "measurements": {"depth": {"gauge_sd": 0.1, "lower": -1.0, "upper": 1.0}},
            }],
        }
    )  # fmt: skip
    table = pd.DataFrame(
        {
            "part": [f"H{i}" for i in range(force.size)],
            "disposition": "finished",
            "assignment": "dither",
            "press.force": force,
            "press.depth": 0.5 * force - 0.2 * force**2 + 0.4 * rng.standard_normal(force.size),
        }
    )
    motion = fit(process, parse_history(table, process)).motions[0]
    assert ((0, 0), -1) in motion.terms


def test_a_bend_that_one_test_is_not_sure_of_counts_where_many_others_are_bent_too() -> None:
    by_chance = np.random.default_rng(0).standard_normal(300)
    doubtful = 3.0  # nearly one line of 300 straight effects has such a score
    assert least_passing(by_chance**2) == np.inf
    assert least_passing(np.append(by_chance, doubtful) ** 2) > doubtful**2
    assert least_passing(np.append(by_chance, np.full(40, doubtful)) ** 2) <= doubtful**2
