"""What if these settings were chosen for this part? Where each reading will lie, the chance to conform, the money."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.advised import Advised, find, keep
from process_opt.alternatives import minutes_of, settings_of
from process_opt.belief import Belief, believe, unheard
from process_opt.counted import expected, from_scale
from process_opt.model import ProcessModel
from process_opt.outlook import go_forward
from process_opt.plan import Plan, settle_each
from process_opt.recommend import as_advised, decide, weigh
from process_opt.request import Question, check_observed, parse_question
from qc.errors import InvalidInput

Floats = NDArray[np.float64]

BAND = 1.6449
"""Standard deviations on either side that hold 90 %."""
ROUNDED = 1e-3
"""Standardised: an advised setting at the edge of what was seen comes back rounded, and is not beyond it for that."""


def what_if(
    model: ProcessModel, request: Mapping[str, Any], settings: Mapping[str, Any], run: Sequence[str] = ()
) -> dict[str, Any]:
    """The expected way of a part under chosen settings, beside continuing as is, the recommended plan, and scrapping.

    Args:
        request: as for `recommend` (contracts, section 6).
        settings: `step.setting` to value, of steps still to come; what is not named stays as decided, or nominal. A
            setting of an optional step means that it is run.
        run: optional steps to run.

    Returns:
        JSON: `path`, for every step still to come that is run, what it will read (`mean`, and `low` to `high`, which
        hold 90 %, with their limits), as far as the history held such readings; `p_conform` and its 90 % interval;
        `expected_value` in the process's currency from `at` on; `minutes`, how long the steps still to come take (None
        where one of them does not say); `compared`, the same figures of every plan; `notes`, what is doubtful about the
        choice. The same question to the same model has the same answer, but for `elapsed_ms`.

    Raises:
        InvalidInput: an unknown name, a value that the machine does not allow, or a step that the part is through.
    """
    began = time.perf_counter()
    question = parse_question(request, model.process, model.layout)
    name = model.id
    chosen, ran = chosen_plan(model, question, settings, run)
    model = model.made_by(question.batch, question.machines)
    belief = believe(model, question.observed, question.at, question.times, question.decided)
    advised = _advised(model, name, question, belief)
    vs, runs = [chosen, belief.base, np.array(advised.v)], [ran, frozenset[int](), advised.run]
    plans = settle_each(model, belief, vs, runs)
    answer = {
        "part": question.part,
        "at": model.process.steps[question.at].name,
        **_figures(model, plans[0], question.at),
        "path": _path(model, belief, vs[0], ran),
        "compared": [
            {"plan": "chosen", **_figures(model, plans[0], question.at)},
            {"plan": "continue", **_figures(model, plans[1], question.at)},
            {"plan": "recommended", "decision": advised.decision, **_figures(model, plans[2], question.at)},
            {"plan": "scrap", "expected_value": model.process.scrap, "minutes": 0.0},
        ],
        "notes": [*_notes(model, chosen), *unheard(model, question.observed)],
        "model": name,
    }
    if advised.decision == "scrap":
        answer["compared"][2] = answer["compared"][3] | {"plan": "recommended", "decision": "scrap"}
    return answer | {"elapsed_ms": round((time.perf_counter() - began) * 1000, 2)}


def chosen_plan(
    model: ProcessModel, question: Question, settings: Mapping[str, Any], run: Sequence[str]
) -> tuple[Floats, frozenset[int]]:
    """`S` settings, standardised, and places of the optional steps that are run; raises InvalidInput as `what_if`."""
    process = model.process
    if not isinstance(settings, Mapping):
        raise InvalidInput(f"settings must map step.setting to numbers, not {type(settings).__name__}")
    if isinstance(run, str) or not isinstance(run, Sequence):
        raise InvalidInput("run must be a list of steps")
    for name in settings:
        if name not in process.settings:
            raise InvalidInput(f"{name!s:.80} is not a setting of {process.name}")
        if process.settings[name][0] < question.at:
            raise InvalidInput(f"{name} cannot be chosen any more: the part is through that step")
    values = check_observed(settings, process, question.part)
    ran = {process.settings[name][0] for name in values}
    for step in run:
        if step not in process.place or not process.steps[process.place[step]].optional:
            raise InvalidInput(f"run names {step!r:.80}, which is not an optional step of {process.name}")
        if process.place[step] < question.at:
            raise InvalidInput(f"{step} cannot be run any more: the part is through it")
        ran.add(process.place[step])
    values = question.decided | values
    out = np.zeros(len(model.layout.nominal))
    for j, name in enumerate(process.settings):
        if name in values:
            out[j] = (values[name] - model.layout.nominal[j]) / model.layout.stretch[j]
    return out, frozenset(k for k in ran if process.steps[k].optional)


def _advised(model: ProcessModel, name: str, question: Question, belief: Belief) -> Advised:
    """What is recommended; planned only if nobody has asked for it yet."""
    if (found := find(name, question)) is not None:
        return found
    options = weigh(model, belief)
    found = as_advised(decide(model, options), options)
    keep(name, question, found)
    return found


def _figures(model: ProcessModel, plan: Plan, at: int) -> dict[str, Any]:
    return {
        "settings": settings_of(model, plan.v),
        "run": [model.process.steps[k].name for k in sorted(plan.run)],
        "p_conform": round(plan.chance, 4),
        "p_conform_interval": plan.interval(),
        "expected_value": round(plan.value, 4),
        "minutes": minutes_of(model, plan, at),
    }


def _path(model: ProcessModel, belief: Belief, v: Floats, run: frozenset[int]) -> list[dict[str, Any]]:
    """What each step's readings will be: what is not known of the part, of the steps, and the gauge's error."""
    process, layout, at = model.process, model.layout, belief.at
    ran = np.array([[float(not s.optional or at + i in run)] for i, s in enumerate(process.steps[at:])])
    carry, states, _ = go_forward(model, belief, v[:, None], ran)
    places = {name: i for i, name in enumerate(process.measurements)}
    widen = {places[n]: w for n, w in zip(process.conformance, (model.widening**2).mean(axis=1), strict=True)}
    usual = float(np.mean(list(widen.values())))
    cov = belief.cov
    out = []
    for i, step in enumerate(process.steps[at:]):
        if not ran[i, 0]:
            continue
        a = carry[i, :, :, 0]
        cov = np.einsum("iln,jln->ijn", np.einsum("ijn,jln->iln", a, cov), a) + model.motions[at + i].noise[:, :, None]
        readings = {}
        for m in step.measurements:
            place = places[m.name]
            if not np.isfinite(layout.mean[place]):
                continue
            c = layout.coordinate[place]
            x, scale = states[i + 1, c, 0], layout.scale[c]
            sd = np.sqrt(cov[c, c].mean() * widen.get(place, usual) + x.var() + model.gauge[place]) * scale
            mean = layout.mean[place] + float(x.mean()) * scale
            low, high = from_scale(m.kind, mean + BAND * sd * np.array([-1.0, 1.0])).tolist()
            readings[m.name] = {
                "mean": _short(expected(m.kind, mean, float(sd))),
                "low": _short(low),
                "high": _short(high),
                "lower": m.lower if np.isfinite(m.lower) else None,
                "upper": m.upper if np.isfinite(m.upper) else None,
                "unit": m.unit,
            }
        out.append({"step": step.name, "readings": readings})
    return out


def _notes(model: ProcessModel, v: Floats) -> list[str]:
    """What is doubtful about a choice, one sentence each."""
    out, t = [], model.tables
    for j, name in enumerate(model.process.settings):
        if abs(v[j]) < 1e-9:
            continue
        if not model.identified.get(name, False):
            out.append(
                f"The history does not identify the effect of {name}: it was not varied at random, by itself, on "
                f"enough parts, so these figures may be wrong; dither it and fit again."
            )
        elif not t.low[j] - ROUNDED <= v[j] <= t.high[j] + ROUNDED:
            out.append(f"{name} lies beyond what the history has seen, where its effect is taken to be unsure by half.")
    return out


def as_table(answer: Mapping[str, Any], currency: str) -> str:
    """The answer for people, in lines of text."""
    lines = [f"{answer['part']} before {answer['at']}", ""]
    lines.append(f"{'plan':<24}{'chance':>8}  {'90 %':<14}{'value, ' + currency:>12}")
    for plan in answer["compared"]:
        label = plan["plan"] + (f" ({plan['decision']})" if "decision" in plan else "")
        chance, band = "", ""
        if "p_conform" in plan:
            low, high = plan["p_conform_interval"]
            chance, band = f"{plan['p_conform']:.1%}", f"{low:.1%} - {high:.1%}"
        lines.append(f"{label:<24}{chance:>8}  {band:<14}{plan['expected_value']:>12.2f}")
    lines += ["", f"{'reading':<32}{'expected':>12}  {'90 %':<26}limits"]
    for step in answer["path"]:
        for name, r in step["readings"].items():
            limits = "" if r["lower"] is None and r["upper"] is None else f"{_side(r['lower'])} to {_side(r['upper'])}"
            unit = f" {r['unit']}" if r["unit"] else ""
            band = f"{r['low']:g} to {r['high']:g}"
            lines.append(f"{name:<32}{r['mean']:>12g}  {band:<26}{limits}{unit}".rstrip())
    lines += [f"note: {note}" for note in answer["notes"]]
    return "\n".join(lines) + "\n"


def _side(limit: float | None) -> str:
    return "..." if limit is None else f"{limit:g}"


def _short(value: float) -> float:
    return float(f"{value:.6g}")
