"""What later readings will show in time to be corrected: the difference between a plan carried out
blindly and one renewed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from process_opt.belief import Belief
from process_opt.model import ProcessModel

Floats = NDArray[np.float64]

TRUST = 0.95
"""Share of what could be corrected that is counted on: the parameters are known only so well,
corrections cost something."""


def corrected_later(
    model: ProcessModel,
    belief: Belief,
    maps: dict[int, tuple[Floats, Floats, Floats]],
    deciding: list[int],
    step_of: list[int],
    open_: list[int],
    total: Floats,
) -> Floats:
    """`m x m`: what re-planning after later readings takes off the covariance of the deciding readings.

    Each reading moves the expected end by `response x (covariance before - after it)`; the settings still free then
    can take that
    back where they reach, softly limited by their range. Worked out once, with the average of the draws.

    Args:
        maps: for each step that will be run `A, b, slopes` with the draws on the last axis.
        deciding, step_of: place and step of every deciding reading; `open_` those still to come.
        total: `m x m`, covariance without re-planning, which sets how far the settings must reach.
    """
    rows, d = len(open_), model.layout.d
    low, high = _reach(model)
    after: dict[int, Floats] = {}
    reach: dict[int, Floats] = {}
    response: Floats = np.zeros((rows, d))
    authority: Floats = np.zeros((rows, rows))
    last = len(model.process.steps) - 1
    for k in range(last, belief.at - 1, -1):
        for r, i in enumerate(open_):
            if step_of[i] == k:
                response[r, model.layout.coordinate[deciding[i]]] = 1.0
        after[k], reach[k] = response.copy(), authority.copy()
        if k not in maps:
            continue
        a, _, slopes = maps[k]
        for j, place in enumerate(model.layout.levers[k]):
            if model.identified.get(list(model.process.settings)[place], False):
                g = response @ slopes[:, j].mean(axis=1) * min(-low[place], high[place])
                authority = authority + np.outer(g, g)
        response = response @ a.mean(axis=2)
    cov = belief.cov.mean(axis=2)
    out = np.zeros((rows, rows))
    eye = np.eye(rows)
    for k in range(belief.at, last + 1):
        if k not in maps:
            continue
        a = maps[k][0].mean(axis=2)
        cov = a @ cov @ a.T + model.motions[k].noise
        before = cov.copy()
        for place, c in model.layout.reads[k]:
            column = cov[:, c]
            cov = cov - np.outer(column, column) / (cov[c, c] + model.gauge[place])
        if not model.layout.reads[k] or not reach[k].any():
            continue
        shown = after[k] @ (before - cov) @ after[k].T
        taken = TRUST * reach[k] @ np.linalg.inv(reach[k] + total + 1e-9 * eye)
        out += shown - (eye - taken) @ shown @ (eye - taken).T
    return (out + out.T) / 2


def _reach(model: ProcessModel) -> tuple[Floats, Floats]:
    s = [x for _, x in model.process.settings.values()]
    low = (np.array([x.low for x in s]) - model.layout.nominal) / model.layout.stretch
    high = (np.array([x.high for x in s]) - model.layout.nominal) / model.layout.stretch
    return low, high
