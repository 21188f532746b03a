"""Physics where it is known: read safely, units checked, used as it is, only its residual learnt."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from process_opt.belief import believe
from process_opt.climb import hill
from process_opt.em import em
from process_opt.estimate import prepare, start_estimate
from process_opt.fit import fit
from process_opt.formula import derivative, evaluate, parse
from process_opt.history import parse_history
from process_opt.law import laws
from process_opt.layout import lay_out
from process_opt.model import ProcessModel, load_model
from process_opt.outlook import look_ahead
from process_opt.process import Process, parse_process
from process_opt.recommend import recommend
from process_opt.simulate import Line, Truth
from qc.errors import InvalidInput

NAMES = ("thickness", "hardness", "angle", "coat", "bath")
UNITS = ("mm", "HV", "deg", "um", "g/l")
CENTRE, UNIT = np.array([3.0, 300.0, 90.0, 20.0, 100.0]), np.array([0.25, 30.0, 1.5, 3.0, 25.0])
GAIN, SPRINGBACK, RATE = 18.0, 0.0025, 0.0005
STROKE = 90 / (GAIN * (1 - SPRINGBACK * 100))


def plating_line(seed: int = 0) -> Line:
    """Bending with springback, then plating in a bath that weakens: the levers' effects depend on the part."""

    def bend(x: np.ndarray, v: np.ndarray) -> np.ndarray:
        part = CENTRE + UNIT * x
        part[:, 2] = GAIN * (STROKE + v[:, 0]) * (1 - SPRINGBACK * part[:, 1] / part[:, 0])
        return (part - CENTRE) / UNIT

    def plate(x: np.ndarray, v: np.ndarray) -> np.ndarray:
        part = CENTRE + UNIT * x
        part[:, 3] = RATE * np.maximum(part[:, 4], 1.0) * (40 + 20 * v[:, 0]) * (10 + 6 * v[:, 1])
        return (part - CENTRE) / UNIT

    gauge = dict(zip(NAMES, (0.01, 3.0, 0.1, 0.3, 2.0), strict=True))
    stroke = {"unit": "mm", "low": STROKE - 1, "high": STROKE + 1, "nominal": STROKE, "change_cost": 0.1}
    current = {"unit": "A", "low": 20, "high": 60, "nominal": 40, "change_cost": 0.01}
    minutes = {"unit": "min", "low": 4, "high": 16, "nominal": 10, "change_cost": 0.02}
    plan: list[tuple[str, dict[str, Any], tuple[str, ...], Any, list[float]]] = [
        ("incoming", {}, ("thickness", "hardness", "bath"), lambda x, v: x, [0.1, 0.1, 0, 0, 0]),
        ("bend", {"stroke": stroke}, ("angle",), bend, [0.02, 0.05, 0.2, 0, 0]),
        ("plate", {"current": current, "time": minutes}, ("coat",), plate, [0, 0, 0.05, 0.1, 0]),
        ("final", {}, ("angle", "coat"), lambda x, v: x, [0, 0, 0.1, 0.05, 0]),
    ]
    raw, truths = [], []
    for name, settings, reads, move, noise in plan:
        places = tuple(NAMES.index(r) for r in reads)
        measures = {r: {"unit": UNITS[i], "gauge_sd": gauge[r]} for r, i in zip(reads, places, strict=True)}
        raw.append({"name": name, "cost": 0.3, "setup_cost": 0.2, "settings": settings, "measurements": measures})
        error = np.array([gauge[r] for r in reads]) / UNIT[list(places)]
        truths.append(Truth(move, np.array(noise), error, places, None, np.zeros((len(settings), 5))))
    raw[-1]["measurements"]["angle"] |= {"lower": 89.0, "upper": 91.0}
    raw[-1]["measurements"]["coat"] |= {"lower": 18.8, "upper": 21.2}
    money = {"value": 42.0, "scrap": 1.5, "escape": -60.0}
    content = {"name": "plating", "part": money, "conformance": ["final.angle", "final.coat"], "steps": raw}
    start = np.array([0.8, 0.8, 0.0, 0.0, 0.9])
    return Line(parse_process(content), truths, CENTRE, UNIT, start_sd=start, operator_noise=0.1)


KNOWN = {
    1: (
        {"angle": "gain * stroke * (1 - springback * hardness / thickness)"},
        {
            "gain": {"unit": "deg/mm", "prior": {"mean": 17.0, "sd": 2.0}},
            "springback": {"unit": "mm/HV", "prior": {"low": 0.001, "high": 0.004}},
        },
    ),
    2: (
        {"coat": "rate * bath * current * time"},
        {"rate": {"unit": "um*l/(g*A*min)", "prior": {"mean": 0.0004, "sd": 0.0002}}},
    ),
}


def knowing(process: Process, *, wrong: float | None = None) -> Process:
    """The process with its formulas; `wrong`: with constants that are said to be known, and are off by this factor."""
    content: Any = copy.deepcopy(dict(process.source))
    for k, (formula, constants) in KNOWN.items():
        content["steps"][k] |= {"formula": dict(formula), "constants": copy.deepcopy(constants)}
    if wrong is not None:
        true = {"gain": GAIN, "springback": SPRINGBACK, "rate": RATE}
        for k in KNOWN:
            for name, constant in content["steps"][k]["constants"].items():
                constant["value"] = true[name] * wrong
                del constant["prior"]
    return parse_process(content)


@pytest.fixture(scope="module")
def line() -> Line:
    return plating_line()


@pytest.fixture(scope="module")
def model(line: Line) -> ProcessModel:
    process = knowing(line.process)
    return fit(process, parse_history(line.history(300, 1), process))


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("rate * bath * curent * time", r"formula.coat, character 15: curent is unknown; known are .*current"),
        ("rate * bath + current", r"formula.coat, character 1: \+ joins"),
        ("rate * bath * current * time * time", r"formula.coat gives .*second.*but coat is in meter"),
        ("__import__('os').system('true')", r"character 1: functions are abs"),
        ("rate.real * bath * current * time", r"character 1: only numbers, names"),
        ("rate * bath * current * time +", r"character \d+: this is no arithmetic"),
        ("rate * bath * current * time if 1 else 2", "only numbers, names"),
        ("(" * 300 + "rate" + ")" * 300, "at most 500"),
        ("rate * bath * current * time" + "+0" * 120, "at most 200"),
        ("exp(rate * bath) * current * time", r"character 1: exp takes a plain number"),
        ("rate * bath * current ** time", r"character \d+: an exponent must be a plain number"),
        ("angle * 2 * rate / rate", "gives radian, but coat"),
        ("", "an expression in quotes"),
    ],
)
def test_a_formula_that_makes_no_sense_is_refused_where_it_does_not(line: Line, expression: str, said: str) -> None:
    content = copy.deepcopy(dict(knowing(line.process).source))
    content["steps"][2]["formula"] = {"coat": expression}
    with pytest.raises(InvalidInput, match=said) as refused:
        parse_process(content, where="p.yaml")
    assert "p.yaml: steps[2] (plate)" in str(refused.value)


@pytest.mark.parametrize(
    ("constant", "said"),
    [
        ({"unit": "furlongs/glint", "value": 1.0}, "constants.rate: 'furlongs/glint' is not a known unit"),
        ({"unit": "1"}, "either value or prior"),
        ({"prior": {"mean": 1.0}}, "mean and sd, or low and high"),
        ({"prior": {"mean": 1.0, "sd": 0.0}}, "above 0"),
        ({"prior": {"low": 2.0, "high": 1.0}}, "below high"),
        ({"value": "one"}, "must be a number"),
    ],
)
def test_a_constant_needs_a_value_or_a_prior_and_a_unit_that_exists(line: Line, constant: Any, said: str) -> None:
    content = copy.deepcopy(dict(knowing(line.process).source))
    content["steps"][2]["constants"] = {"rate": constant}
    with pytest.raises(InvalidInput, match=said):
        parse_process(content)


def test_a_formula_without_a_value_for_usual_parts_is_refused_by_the_fit(line: Line) -> None:
    content = copy.deepcopy(dict(knowing(line.process).source))
    content["steps"][2]["formula"] = {"coat": "rate * bath * current * time / sqrt(bath * k - 0.9)"}
    content["steps"][2]["constants"]["k"] = {"unit": "l/g", "value": 0.01}
    process = parse_process(content)
    with pytest.raises(InvalidInput, match="plate has no finite value for some parts"):
        fit(process, parse_history(line.history(200, 1), process))


def test_derivatives_are_the_slopes() -> None:
    text = "a**2 / b - sqrt(a) * exp(-b) + log(a) * sin(b) / cos(a / 5) + tan(b / 3) * atan(a) + tanh(a * b) " \
           "+ abs(b - a) + min(a, b * 2) * max(a, b) + a**b"  # fmt: skip
    node = parse(text, "test")
    at = {"a": 1.3, "b": 0.9}
    for name in at:
        up, down = ({**at, name: at[name] + h} for h in (1e-6, -1e-6))
        slope = (evaluate(node, up, {}) - evaluate(node, down, {})) / 2e-6
        assert evaluate(derivative(node, name), at, {}) == pytest.approx(slope, rel=1e-6)


def test_units_are_converted_and_slopes_fit_in_the_models_numbers(line: Line) -> None:
    content = copy.deepcopy(dict(knowing(line.process).source))
    content["steps"][2]["settings"]["time"]["unit"] = "s"  # the same numbers, sixty times less
    slower, usual = parse_process(content), knowing(line.process)
    history = parse_history(line.history(200, 1), usual)
    layout = lay_out(usual, history)
    stretch = dict(zip(usual.settings, layout.stretch.tolist(), strict=True))
    fast, slow = (laws(p, layout.mean, layout.scale, stretch)[2] for p in (usual, slower))
    assert fast is not None
    assert slow is not None
    x, v, c = np.full((5, 1), 0.3), np.array([[0.5], [-0.4]]), np.array([[0.7]])
    told = [law.local(x, v, c, settings=True, constants=True) for law in (fast, slow)]
    ratio = [t.value[0, 0] * o.slope + o.shift for t, o in zip(told, (fast.outputs[0], slow.outputs[0]), strict=True)]
    assert ratio[0] == pytest.approx(60 * ratio[1])
    h = 1e-5
    for j in range(2):
        up, down = (fast.local(x, v + s * np.eye(2)[:, [j]], c).value for s in (h, -h))
        assert told[0].by_setting[0, j] == pytest.approx((up - down)[0] / (2 * h), rel=1e-5)
    up, down = (fast.local(x, v, c + s) for s in (h, -h))
    assert told[0].by_constant[0] == pytest.approx((up.value - down.value)[0] / (2 * h), rel=1e-5)
    assert told[0].mixed[0] == pytest.approx((up.by_state - down.by_state)[0] / (2 * h), rel=1e-5)


def test_the_likelihood_climbs_along_its_own_slope_also_in_the_constants(line: Line) -> None:
    process = knowing(line.process)
    history = parse_history(line.history(200, 1), process)
    layout = lay_out(process, history)
    data = prepare(process, history, layout)
    estimate = em(start_estimate(process, layout, data), data, passes=3)
    flat, slope = estimate.flat(), hill(estimate, data).slope
    first = sum(m.weights.size for m in estimate.motions[:2])
    motion = estimate.motions[2]
    assert motion.law is not None
    row = motion.law.owners[0] * len(motion.terms)
    for f in (0, 5, 6, motion.columns[0]):
        moved = [flat + s * np.eye(len(flat))[first + row + f] for s in (1e-4, -1e-4)]
        rise = np.subtract(*(hill(estimate.with_weights(m), data).height for m in moved)) / 2e-4
        assert slope[first + row + f] == pytest.approx(rise, rel=1e-3, abs=0.01)


def test_unknown_constants_are_found_with_their_uncertainty_and_reported(model: ProcessModel) -> None:
    steps = model.report()["steps"]
    found = steps[1]["formula"]["constants"] | steps[2]["formula"]["constants"]
    for name, true in (("gain", GAIN), ("springback", SPRINGBACK), ("rate", RATE)):
        low, high = found[name]["interval90"]
        sd = (high - low) / 3.3
        assert abs(found[name]["value"] - true) < 3.5 * sd
        assert sd < 0.5 * found[name]["prior"]["sd"]
    assert steps[0]["formula"] is None


def test_a_model_with_formulas_comes_back_from_its_folder_the_same(line: Line, model: ProcessModel, tmp_path) -> None:
    model.save(tmp_path / "model")
    assert "springback" in (tmp_path / "model" / "report.html").read_text()
    part = line.start(3)
    part.run_step("incoming")
    ask = {"part": "P", "at": "bend", "observed": part.observed}
    first, second = (recommend(m, ask) for m in (model, load_model(tmp_path / "model")))
    first.pop("elapsed_ms"), second.pop("elapsed_ms")
    assert first == second


def test_a_plan_is_judged_by_the_formula_itself(line: Line, model: ProcessModel) -> None:
    part = line.start(4)
    part.run_step("incoming")
    belief = believe(model, part.observed, 1)
    v = np.array([1.5, -2.0, 2.5])
    right = model.with_check({})  # nothing is said to be wrong with the model's form
    outlook = look_ahead(right, belief, v, frozenset())
    x = belief.mean
    for k in range(1, 4):
        a, b = model.motions[k].map(v[list(model.layout.levers[k])][:, None], model.draws[k], at=x)
        x = np.einsum("ijn,jn->in", a, x) + b
    assert outlook.mean == pytest.approx(x[[model.layout.coordinate[p] for p, _ in model.layout.reads[-1]]])
    for q in range(3):
        h = 1e-5 * np.eye(3)[q]
        up, down = (look_ahead(right, belief, v + s, frozenset()).mean for s in (h, -h))
        assert outlook.gain[:, q] == pytest.approx((up - down) / 2e-5, abs=1e-4)


def test_the_tangent_at_a_part_leaves_out_little_of_what_is_not_known_of_it(line: Line, model: ProcessModel) -> None:
    part = line.start(5)
    part.run_step("incoming")
    motion, belief = model.motions[1], believe(model, part.observed, 1)
    v = np.full((1, 1), 1.0)
    rng = np.random.default_rng(0)
    mean, cov = belief.mean[:, :1], belief.cov[:, :, 0]
    cloud = mean + np.linalg.cholesky(cov + 1e-12 * np.eye(5)) @ rng.standard_normal((5, 40_000))
    exact = motion.local(cloud, v).value[0]
    tangent = motion.local(mean, v)
    spread = np.sqrt(tangent.by_state[0, :, 0] @ cov @ tangent.by_state[0, :, 0])
    chance = np.sqrt(motion.noise[2, 2])
    assert abs(exact.mean() - tangent.value[0, 0]) < 0.1 * chance
    assert exact.std() == pytest.approx(spread, rel=0.05)


def errors(line: Line, model: ProcessModel) -> tuple[float, float]:
    """Of the coat foretold for settings far from nominal: root mean square in um, and share outside the 90 % band."""
    off, out = [], []
    for seed in range(60):
        part = line.start(100 + seed)
        part.run_step("incoming")
        rng = np.random.default_rng(seed)
        v = rng.uniform(-0.8, 0.8, 3)
        given = {
            n: s.nominal + w * (s.high - s.low) / 2
            for w, (n, (_, s)) in zip(v, model.process.settings.items(), strict=True)
        }
        u = np.array([given[n] for n in model.process.settings])
        z = model.layout.settings(u[None])[0]
        ahead = look_ahead(model, believe(model, part.observed, 1), z, frozenset())
        while part.at is not None:
            part.run_step(part.at, {n: w for n, w in given.items() if n.startswith(part.at)})
        place = list(model.process.measurements).index("final.coat")
        scale = model.layout.scale[model.layout.coordinate[place]]
        middle = ahead.mean[1].mean()
        sd = np.sqrt(ahead.cov[1, 1].mean() + ahead.mean[1].var())
        miss = (part.observed["final.coat"] - model.layout.mean[place]) / scale - middle
        off.append(miss * scale)
        out.append(abs(miss) > 1.645 * sd)
    return float(np.sqrt(np.mean(np.square(off)))), float(np.mean(out))


def test_with_300_parts_physics_foretells_better_than_no_physics_even_if_it_is_a_fifth_off(
    line: Line, model: ProcessModel
) -> None:
    history = line.history(300, 1)
    blind = fit(line.process, parse_history(history, line.process))
    off = knowing(line.process, wrong=1.2)
    wrong = fit(off, parse_history(history, off))
    none, known, mistaken = (errors(line, m) for m in (blind, model, wrong))
    assert known[0] < 0.7 * none[0]
    assert mistaken[0] < none[0]
    assert known[1] < 0.25
