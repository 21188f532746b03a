"""Settings that would help if the fit were right about them, which the history does not identify: named, not moved."""

from __future__ import annotations

import numpy as np

from process_opt.diagnose import diagnose
from process_opt.model import ProcessModel
from process_opt.plan import Plan

NAMED = 4
"""Settings that are named, those that would be moved furthest: more is more than anybody dithers at once."""


def left_alone(model: ProcessModel, beyond: Plan) -> list[str]:
    """Settings without known effect that `beyond` moves, those moved furthest first, at most `NAMED`."""
    size = np.abs(beyond.v)
    names = list(model.process.settings)
    open_ = [j for j, name in enumerate(names) if size[j] > 1e-9 and not model.identified.get(name, False)]
    return [names[j] for j in sorted(open_, key=lambda j: (-size[j], j))[:NAMED]]


def beside(model: ProcessModel, beyond: Plan, gain: float) -> str:
    """One sentence for an engineer: what was left alone, and the dither that would tell what it does.

    Args:
        beyond: the plan that moves such settings too.
        gain: money that it promises beyond what is recommended.
    """
    names = left_alone(model, beyond)
    levers = {lever.setting: lever for lever in diagnose(model) if lever.setting in names}
    told, parts, cost = [], 0, 0.0
    for name in names:
        lever = levers[name]
        if lever.dither_sd is None:  # the machine leaves no room to vary it
            told.append(name)
            continue
        size = f"± {lever.dither_sd:.3g} {model.process.settings[name][1].unit}".rstrip()
        told.append(f"{name} (its values at random)" if lever.choice else f"{name} ({size})")
        parts, cost = max(parts, lever.dither_parts or 0), cost + (lever.dither_cost or 0.0)
    currency = model.process.currency
    begins = (
        f"Left alone: {', '.join(told)}, from which the fit promises {gain:.2f} {currency} more, but the history does "
        "not identify what they do"
    )
    if not parts:
        return f"{begins}; their machines leave no room to vary them, so nobody can find out."
    return (
        f"{begins}; dithered by these standard deviations on {parts} parts, for about {cost:.2f} {currency}, they "
        "would be known."
    )
