"""Outcomes teach the model at once: where the steps stand now, and whether its promises were kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from process_opt.calibration import since_fit, weigh_misfit
from process_opt.model import ProcessModel
from process_opt.request import check_observed
from process_opt.state_space import smooth
from qc.errors import InvalidInput

REMEMBERED = 5000
"""Names of parts whose outcome was taken in, so that a second telling changes nothing."""


def update(model: ProcessModel, outcomes: list[dict[str, Any]]) -> ProcessModel:
    """The model after some outcomes (contracts, section 4); a part told before is passed over.

    Each finished part's deciding readings are predicted from the half-way point of the part and compared; errors
    larger than promised widen every later prediction, smaller ones narrow it again.

    Raises:
        InvalidInput: an outcome names what does not exist; nothing is learnt then.
    """
    told = list(model.learnt.get("parts", []))
    known = set(told)
    rows = []
    for outcome in outcomes:
        part, observed = _parse(model, outcome)
        if part in known:
            continue
        known.add(part)
        told.append(part)
        rows.append((outcome, observed))
    if not rows:
        return model
    learnt = dict(model.learnt)
    check = dict(model.check)
    base = np.asarray(learnt.get("fitted_widen", check.get("widen", [1.0] * len(model.process.conformance))))
    sure = np.asarray(learnt.get("fitted_widen_sd", check.get("widen_sd", [0.0] * base.size)))
    squares = np.asarray(learnt.get("squares", np.zeros(base.size)))
    counts = np.asarray(learnt.get("counts", np.zeros(base.size)))
    for outcome, observed in rows:
        if outcome.get("disposition") == "finished":
            z2 = _surprise(model, observed)
            use = np.isfinite(z2)
            squares = squares + np.where(use, np.minimum(z2, 25.0), 0.0)
            counts = counts + use
    mean = np.where(counts > 0, squares / np.maximum(counts, 1.0), 1.0)
    error = np.where(counts > 0, np.sqrt(2.0 / np.maximum(counts, 1.0)), np.inf)  # of a mean of chi-squares
    widen, sd = weigh_misfit(np.log(base), since_fit(sure), np.log(np.maximum(mean, 0.1)), error)
    learnt |= {
        "parts": told[-REMEMBERED:],
        "outcomes": int(model.learnt.get("outcomes", 0)) + len(rows),
        "fitted_widen": base.tolist(),
        "fitted_widen_sd": sure.tolist(),
        "squares": squares.tolist(),
        "counts": counts.tolist(),
    }
    check |= {"widen": np.exp(widen).tolist(), "widen_sd": sd.tolist()}
    return replace(model, learnt=learnt, check=check)


def _parse(model: ProcessModel, outcome: Any) -> tuple[str, dict[str, float]]:
    if not isinstance(outcome, Mapping):
        raise InvalidInput(
            f"an outcome must be an object with part, disposition and observed, not {type(outcome).__name__}"
        )
    part = outcome.get("part")
    if not isinstance(part, str) or not part:
        raise InvalidInput(f"an outcome needs the part's name, not {part!r}")
    if outcome.get("disposition") not in ("finished", "scrapped"):
        raise InvalidInput(f"part {part}: disposition must be finished or scrapped, not {outcome.get('disposition')!r}")
    at = outcome.get("scrapped_at")
    if at and at not in model.process.place:
        raise InvalidInput(f"part {part}: scrapped_at {at!r} is not a step of {model.process.name}")
    observed = outcome.get("observed") or {}
    if not isinstance(observed, Mapping):
        raise InvalidInput(f"part {part}: observed must map names to numbers, not {type(observed).__name__}")
    return part, check_observed(observed, model.process, part)


def _surprise(model: ProcessModel, observed: dict[str, float]) -> NDArray[np.float64]:
    """Squared standardised error (as fitted) of each deciding reading, predicted from half way; NaN where not read."""
    process, layout = model.process, model.layout
    u = np.array([observed.get(name, np.nan) for name in process.settings])
    y = np.array([observed.get(name, np.nan) for name in process.measurements])
    v, z = layout.settings(u), layout.readings(y)
    deciding = [list(process.measurements).index(name) for name in process.conformance]
    skipped = []
    for k, step in enumerate(process.steps):
        marks = np.concatenate([v[list(layout.levers[k])], z[[p for p, _ in layout.reads[k]]]])
        skipped.append(np.array([True]) if step.optional and not np.isfinite(marks).any() else None)
    for place, (_, (k, _)) in enumerate(process.measurements.items()):
        if k >= len(process.steps) / 2 and place not in deciding:
            z[place] = np.nan
    path = smooth(
        list(model.motions), layout.reads, layout.levers, model.gauge, model.start, {},
        z[:, None], v[:, None], np.array([False]), skipped,
    )  # fmt: skip
    out = np.full(len(deciding), np.nan)
    for place, innovation, variance in path.misfit:
        if place in deciding:
            out[deciding.index(place)] = float(innovation[0] ** 2 / np.ravel(variance)[0])
    return out
