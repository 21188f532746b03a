"""An account of a model for people, as JSON: what each step does, what is not identified, how predictions did.

`report_page.py` makes a page of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.counted import expected
from process_opt.model import ProcessModel
from process_opt.spread import spreads

Floats = NDArray[np.float64]


def account(model: ProcessModel) -> dict[str, Any]:
    """The report as JSON; effects in units of the reading for the setting's whole way from nominal to its limit.

    A step's `late` are what settings of earlier steps do there; its `effects` are its own settings'.
    """
    d = model.layout.d
    steps = []
    names = list(model.process.settings)
    for k, step in enumerate(model.process.steps):
        effects: list[dict[str, Any]] = []
        late: list[dict[str, Any]] = []
        motion, draws = model.motions[k], model.draws[k]
        known = None
        if motion.law is not None:
            still = np.zeros((d, 1)), np.zeros((motion.law.p, 1))
            known = motion.local(*still, draws, settings=True).by_setting
        own = len(model.layout.levers[k])
        for j, place in enumerate(motion.acting(model.layout.levers[k])):
            w = draws[:, motion.terms.index(((j,), -1))]
            if motion.law is not None and known is not None and j < own:
                w = w.copy()
                w[motion.law.rows] += known[:, j]
            strongest = int(np.argmax(np.abs(w.mean(axis=1))))
            setting = model.process.settings[names[place]][1]
            reach = (setting.high - setting.nominal) / model.layout.stretch[place] * model.layout.scale[strongest]
            low, middle, high = _in_units(model, strongest, np.quantile(w[strongest] * reach, [0.05, 0.5, 0.95]))
            (effects if j < own else late).append(
                {
                    "setting": names[place],
                    "acts_on": model.layout.coordinates[strongest],
                    "to_high": round(float(middle), 6),
                    "interval90": sorted([round(float(low), 6), round(float(high), 6)]),
                    "identified": bool(model.identified.get(names[place], False)),
                    "bent": bool(model.bent[k]),
                }
            )
        chance = np.sqrt(np.diag(model.motions[k].noise)) * model.layout.scale
        steps.append(
            {
                "step": step.name,
                "effects": effects,
                "late": late,
                "machines": _machines(model, k),
                "formula": _formula(model, k),
                "chance_sd": {c: round(float(s), 6) for c, s in zip(model.layout.coordinates, chance, strict=True)},
            }
        )
    return {
        "process": model.process.name,
        "model": model.id,
        "history": {name: told for name, told in model.about.items() if name != "refutation"},
        "not_identified": [n for n in names if not model.identified.get(n, False)],
        "refutation": list(model.about.get("refutation", [])),
        "check": dict(model.check),
        "promises": _promises(model),
        "spread": [
            {
                "reading": one.reading,
                "sd": _rounded(one.sd),
                "shares": [{"step": name, "share": round(share, 4)} for name, share in one.shares],
            }
            for one in spreads(model)
        ],
        "steps": steps,
    }


def _machines(model: ProcessModel, k: int) -> list[dict[str, Any]]:
    """What each machine of the step adds to the average of them, of every characteristic on which they differ."""
    if not model.machine_shifts.size or not model.machine_shifts[:, k].any():
        return []
    rows = []
    for name, shift in zip(model.process.steps[k].machines, model.machine_shifts[:, k], strict=False):
        adds = {c: _rounded(s * u) for c, s, u in zip(model.layout.coordinates, shift, model.layout.scale, strict=True)}
        rows.append({"machine": name, "adds": {c: value for c, value in adds.items() if value}})
    return rows


def _formula(model: ProcessModel, k: int) -> dict[str, Any] | None:
    """The step's formula, what its unknown constants were found to be, and what it leaves over.

    `left_over`: standard deviation, over the parts' usual spread, of what the fit adds to the formula, as a share of
    that characteristic's spread.
    """
    law, formula = model.motions[k].law, model.process.steps[k].formula
    if law is None or formula is None:
        return None
    draws = model.draws[k]
    constants = {}
    for c, owner, column in zip(law.constants, law.owners, model.motions[k].columns, strict=True):
        value = np.clip(c.mean + c.sd * draws[owner, column], c.low, c.high)
        low, high = np.quantile(value, [0.05, 0.95])
        constants[c.name] = {
            "unit": c.unit,
            "value": _rounded(value.mean()),
            "interval90": [_rounded(low), _rounded(high)],
            "prior": {"mean": _rounded(c.mean), "sd": _rounded(c.sd)},
        }
    fixed = [f for f, (levers, c) in enumerate(model.motions[k].terms) if c >= 0 or levers]
    left = np.sqrt((model.motions[k].weights[:, fixed] ** 2).sum(axis=1))
    return {
        "expressions": dict(formula.text),
        "constants": constants,
        "left_over": {model.layout.coordinates[r]: round(float(left[r]), 4) for r in law.rows},
    }


def _in_units(model: ProcessModel, coordinate: int, effects: Floats) -> list[float]:
    """Effects on a coordinate in its unit: of a count or an amount, on how many or how much there is on average."""
    layout = model.layout
    mine = [i for i in layout.counted if layout.coordinate[i] == coordinate and np.isfinite(layout.mean[i])]
    if not mine:
        return [float(e) for e in effects]
    kind, usual = layout.kinds[mine[0]], float(layout.mean[mine].mean())
    spread = float(model.layout.scale[coordinate])
    return [expected(kind, usual + float(e), spread) - expected(kind, usual, spread) for e in effects]


def _rounded(value: float) -> float:
    return float(f"{float(value):.6g}")


def _promises(model: ProcessModel) -> dict[str, Any]:
    """How the promises did on outcomes told since the fit."""
    told = model.learnt.get("promises", {})
    count = float(told.get("finished", 0.0))
    return {
        "finished": int(count),
        "promised": round(float(told["promised"]) / count, 4) if count else None,
        "kept": round(float(told["kept"]) / count, 4) if count else None,
        "withdrawn": bool(told.get("withdrawn", False)),
    }
