"""How a plan is searched for and looked ahead at."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from process_opt.belief import Belief, believe
from process_opt.descend import descend
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.model import ProcessModel
from process_opt.outlook import AT_ONCE, look_ahead, look_ahead_each
from process_opt.plan import aim_anew, settle
from process_opt.plant import bar_line


@pytest.fixture(scope="module")
def model() -> ProcessModel:
    line = bar_line(1, steps=20)
    return fit(line.process, parse_history(line.history(900, 1), line.process))


@pytest.fixture(scope="module")
def belief(model: ProcessModel) -> Belief:
    part = bar_line(1, steps=20).start(3)
    while part.next < 7:
        part.run_step(part.at or "")
    return believe(model, part.observed, 7)


def test_several_bounded_problems_end_where_each_ends_alone() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 5, 5))
    curve = root @ root.transpose(0, 2, 1) + 0.1 * np.eye(5)
    target = 2 * rng.normal(size=(4, 5))

    def loss(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        off = np.einsum("cij,cj->ci", curve, x - target)
        return (off * (x - target)).sum(axis=1) / 2, off

    low, high, use = -np.ones(5), np.ones(5), np.ones((4, 5), dtype=bool)
    found = descend(loss, np.zeros((4, 5)), low, high, use, np.tile(np.eye(5), (4, 1, 1)), iterations=60)
    for c in range(4):
        alone = minimize(
            lambda x, c=c: (x - target[c]) @ curve[c] @ (x - target[c]) / 2, np.zeros(5), bounds=[(-1, 1)] * 5
        )
        assert loss(found)[0][c] == pytest.approx(alone.fun, rel=1e-3, abs=1e-4)


def test_the_outlook_is_where_steps_taken_one_by_one_lead(model: ProcessModel, belief: Belief) -> None:
    rng = np.random.default_rng(1)
    v = 0.5 * rng.standard_normal(len(model.layout.nominal))
    right = model.with_check({})  # nothing is said to be wrong with the model's form
    outlook = look_ahead(right, belief, v, frozenset())
    x = belief.mean
    for k in range(belief.at, len(model.process.steps)):
        if not model.process.steps[k].optional:
            a, b = model.motions[k].map(v[list(model.layout.levers[k])][:, None], model.draws[k])
            x = np.einsum("ijn,jn->in", a, x) + b
    assert outlook.mean == pytest.approx(x[[model.layout.coordinate[p] for p, _ in model.layout.reads[-1]]])


def test_the_leverage_of_a_setting_is_the_slope_of_the_outlook(model: ProcessModel, belief: Belief) -> None:
    model = model.with_check({})  # nothing is said to be wrong with the model's form
    v = 0.3 * np.random.default_rng(2).standard_normal(len(model.layout.nominal))
    outlook = look_ahead(model, belief, v, frozenset())
    for q, place in list(enumerate(outlook.places))[::3]:
        step = np.zeros(len(v))
        step[place] = 1e-5
        up, down = (look_ahead(model, belief, v + s, frozenset()).mean for s in (step, -step))
        assert outlook.gain[:, q] == pytest.approx((up - down) / 2e-5, abs=1e-5)


def test_plans_looked_at_together_look_as_they_do_alone(model: ProcessModel, belief: Belief) -> None:
    rework = [k for k, s in enumerate(model.process.steps) if s.optional and k >= belief.at]
    v = 0.3 * np.random.default_rng(3).standard_normal(len(model.layout.nominal))
    runs = [frozenset(), frozenset(rework[:1])]
    for together, run in zip(look_ahead_each(model, belief, [v, v], runs), runs, strict=True):
        alone = look_ahead(model, belief, v, run)
        assert together.mean == pytest.approx(alone.mean)
        assert together.cov == pytest.approx(alone.cov)
        assert together.gain == pytest.approx(alone.gain)


def test_renewal_takes_uncertainty_off_but_never_all_of_it(model: ProcessModel, belief: Belief) -> None:
    v = np.zeros(len(model.layout.nominal))
    written = look_ahead(model, belief, v, frozenset()).cov
    renewed = look_ahead(model, belief, v, frozenset(), replanned=True).cov
    for n in range(0, written.shape[2], 8):
        assert np.linalg.eigvalsh(renewed[:, :, n]).min() > 0
    assert (np.einsum("iin->i", renewed) < np.einsum("iin->i", written)).all()


def test_more_plans_than_are_looked_at_at_once_come_back_in_their_order(model: ProcessModel, belief: Belief) -> None:
    rng = np.random.default_rng(4)
    vs = [0.3 * rng.standard_normal(len(model.layout.nominal)) for _ in range(2 * AT_ONCE + 1)]
    together = look_ahead_each(model, belief, vs, [frozenset[int]()] * len(vs))
    for v, ahead in zip(vs, together, strict=True):
        assert ahead.mean == pytest.approx(look_ahead(model, belief, v, frozenset()).mean)


def test_aiming_a_plan_anew_moves_its_own_settings_and_never_loses(model: ProcessModel, belief: Belief) -> None:
    rework = frozenset(k for k, s in enumerate(model.process.steps) if s.optional and k >= belief.at)
    later = [j for j, (k, _) in enumerate(model.process.settings.values()) if k >= belief.at and k not in rework]
    v = np.zeros(len(model.layout.nominal))
    v[later[:3]] = 0.5
    plan = settle(model, belief, v, rework)
    aimed = aim_anew(model, belief, plan)
    assert aimed.value > plan.value
    assert aimed.run == plan.run
    assert set(np.flatnonzero(aimed.v)) <= set(later[:3])
