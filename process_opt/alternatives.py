"""What else could be done with a part: ways that differ in kind, each with its money, its risk and its time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.model import ProcessModel
from process_opt.plan import Plan


def settings_of(model: ProcessModel, v: NDArray[np.float64]) -> dict[str, float]:
    """What leaves its nominal value, in units."""
    out = {}
    for j, (name, (_, setting)) in enumerate(model.process.settings.items()):
        if abs(v[j]) > 1e-9:
            value = setting.nominal + v[j] * model.layout.stretch[j]
            out[name] = float(np.clip(float(f"{value:.6g}"), setting.low, setting.high))
    return out


def rework_of(model: ProcessModel, plan: Plan) -> list[str]:
    """The optional steps that the plan runs, in the order of processing."""
    return [model.process.steps[k].name for k in sorted(plan.run)]


def minutes_of(model: ProcessModel, plan: Plan, at: int) -> float | None:
    """How long the plan's steps take from the step `at` on, in minutes; None where a step that it runs does not say."""
    runs = [s for k, s in enumerate(model.process.steps) if k >= at and (not s.optional or k in plan.run)]
    known = [s.minutes for s in runs if s.minutes is not None]
    return round(sum(known), 3) if len(known) == len(runs) else None


def alternatives(
    model: ProcessModel, at: int, plans: Sequence[tuple[str, Plan]], scrap: float | None
) -> list[dict[str, Any]]:
    """Ways as JSON, the one worth most first.

    Args:
        at: the part's next step.
        plans: `continue` or `correct`, and the plan.
        scrap: what scrapping now is worth; None where that is the decision itself.
    """
    out = [_plan(model, at, kind, plan) for kind, plan in plans]
    if scrap is not None:
        nothing: dict[str, Any] = {
            "p_conform": None,
            "p_conform_interval": None,
            "minutes": 0.0,
            "settings": {},
            "run": [],
        }
        out.append({"decision": "scrap", "expected_value": scrap, **nothing})
    return sorted(out, key=lambda a: -float(a["expected_value"]))


def _plan(model: ProcessModel, at: int, kind: str, plan: Plan) -> dict[str, Any]:
    return {
        "decision": kind,
        "expected_value": round(plan.value, 4),
        "p_conform": round(plan.chance, 4),
        "p_conform_interval": plan.interval(),
        "minutes": minutes_of(model, plan, at),
        "settings": settings_of(model, plan.v),
        "run": rework_of(model, plan),
    }
