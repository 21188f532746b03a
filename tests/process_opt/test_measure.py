"""Readings taken again: what they are worth, and what a request says about them."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from process_opt.belief import believe
from process_opt.fit import fit
from process_opt.history import parse_history
from process_opt.measure import OFTENEST, best_of, every_reading
from process_opt.model import ProcessModel
from process_opt.plan import make_plan
from process_opt.recommend import recommend
from process_opt.simulate import Line, linear_line
from qc.errors import InvalidInput


@pytest.fixture(scope="module")
def line() -> Line:
    return linear_line(6, 3)


@pytest.fixture(scope="module")
def model(line: Line) -> ProcessModel:
    return fit(line.process, parse_history(line.history(900, 1), line.process))


def coarse(model: ProcessModel, factor: float) -> ProcessModel:
    """The same process looked at through a worse gauge on the way; the last look stays as it is."""
    last = [p for p, _ in model.layout.reads[-1]]
    gauge = model.gauge * factor
    gauge[last] = model.gauge[last]
    return replace(model, gauge=gauge)


def halfway(line: Line, seed: int) -> dict[str, float]:
    part = line.start(seed)
    for _ in range(4):
        part.run_step(part.at or "")
    return part.observed


def worth_taking(model: ProcessModel, observed: dict[str, float], times: dict[str, int] | None = None):
    belief = believe(model, observed, 4, times)
    plans = make_plan(model, belief, allowed=np.ones(len(model.identified), dtype=bool))
    return best_of(every_reading(model, belief, plans[0], next(p for p in plans if not p.v.any())), 0.0)


def test_a_reading_through_a_coarse_gauge_is_worth_taking_again_through_a_fine_one_not(line, model) -> None:
    rough, fine = (np.array([gain(coarse(model, f), halfway(line, s)) for s in range(8)]) for f in (25.0, 0.1))
    assert rough.max() > 0.5
    assert fine.max() < 0.1


def gain(model: ProcessModel, observed: dict[str, float]) -> float:
    found = worth_taking(model, observed)
    assert found is None or found.again
    return found.gain if found is not None else 0.0


def test_nobody_is_sent_to_take_the_same_reading_for_ever(line, model) -> None:
    rough, observed = coarse(model, 25.0), halfway(line, 1)
    first = worth_taking(rough, observed)
    assert first is not None
    often = {name: OFTENEST for name in observed}
    assert worth_taking(rough, observed, often) is None


def test_several_readings_of_one_thing_count_as_their_mean_through_a_better_gauge(line, model) -> None:
    observed = halfway(line, 2)
    name = "s04-op.length"
    once = believe(model, observed, 4)
    four = believe(model, observed, 4, {name: 4})
    c = model.layout.coordinates.index("length")
    assert (four.cov[c, c] < once.cov[c, c]).all()
    at = line.process.steps[4].name
    value = observed[name]
    listed = {**observed, name: [value - 0.01, value + 0.01]}
    answer = recommend(model, {"part": "P", "at": at, "observed": listed})
    assert answer["p_conform"] == pytest.approx(
        recommend(model, {"part": "P", "at": at, "observed": observed})["p_conform"], abs=0.1
    )
    with pytest.raises(InvalidInput, match=name.replace(".", r"\.")):
        recommend(model, {"part": "P", "at": at, "observed": {**observed, name: [value, None]}})


def test_the_answer_says_that_a_reading_is_to_be_taken_again(line, model) -> None:
    rough = coarse(model, 40.0)
    at = line.process.steps[4].name
    answers = [recommend(rough, {"part": "P", "at": at, "observed": halfway(line, s)}) for s in range(6)]
    wished = [a for a in answers if a["decision"] == "measure"]
    assert wished
    for answer in wished:
        assert answer["measure"][0] in halfway(line, 0)
        assert "again" in answer["reason"]


def test_the_answer_tells_what_every_reading_still_possible_costs_and_adds(line, model) -> None:
    rough = coarse(model, 40.0)
    at = line.process.steps[4].name
    steps = {step.name: step for step in line.process.steps}
    chosen = 0
    for seed in range(6):
        seen = halfway(line, seed)
        seen.pop("s04-op.angle")
        answer = recommend(rough, {"part": "P", "at": at, "observed": seen})
        told = answer["readings"]
        assert {r["reading"]: r["again"] for r in told} == {
            "s04-op.length": True,
            "s04-op.angle": False,
            "s04-op.thickness": True,
        }
        for reading in told:
            assert reading["cost"] == steps[reading["reading"].split(".")[0]].cost
            assert reading["value"] >= 0
        net = [r["value"] - r["cost"] for r in told]
        assert net == sorted(net, reverse=True)
        if answer["decision"] == "measure":
            chosen += 1
            assert any(r["reading"] == answer["measure"][0] and r["value"] > r["cost"] for r in told)
    assert chosen


def test_a_reading_through_a_fine_gauge_again_is_worth_nothing_and_that_is_told(line, model) -> None:
    answers = [
        recommend(m, {"part": "P", "at": line.process.steps[4].name, "observed": halfway(line, s)})
        for m in (coarse(model, 25.0), coarse(model, 0.1))
        for s in range(6)
    ]
    rough, fine = (max(r["value"] for a in some for r in a["readings"]) for some in (answers[:6], answers[6:]))
    assert rough > 5 * fine
    assert fine < 0.3


def test_the_worth_of_every_reading_takes_milliseconds(line, model) -> None:
    belief = believe(model, halfway(line, 3), 4)
    plans = make_plan(model, belief, allowed=np.ones(len(model.identified), dtype=bool))
    nothing = next(p for p in plans if not p.v.any())
    took = []
    for _ in range(5):
        began = time.thread_time()
        every_reading(model, belief, plans[0], nothing)
        took.append(time.thread_time() - began)
    assert min(took) < 0.05


def test_what_is_told_for_comparison_is_near_what_a_joint_look_would_say(
    line, model, monkeypatch: pytest.MonkeyPatch
) -> None:
    rough = coarse(model, 40.0)
    known = np.ones(len(model.identified), dtype=bool)
    together, apart = [], []
    for seed in range(6):
        belief = believe(rough, halfway(line, seed), 4)
        plans = make_plan(rough, belief, allowed=known)
        nothing = next(p for p in plans if not p.v.any())
        for values, looked_at in ((apart, 0), (together, 3)):
            monkeypatch.setattr("process_opt.measure.LOOKED_AT", looked_at)
            monkeypatch.setattr("process_opt.measure.TELLING", 0.0)
            found = every_reading(rough, belief, plans[0], nothing, least=1e-9)
            assert looked_at or not any(reading.sure for reading in found)
            values += [max(r.gain + r.cost, 0.0) for r in sorted(found, key=lambda r: r.name)]
    stake = model.process.value - model.process.escape
    assert max(together) > 0.01 * stake, "some readings are worth taking"
    assert np.corrcoef(together, apart)[0, 1] > 0.95
    assert np.abs(np.array(together) - apart).max() < 0.02 * stake
