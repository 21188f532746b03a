"""Going on although the plan as written is worth less than scrapping: what later readings will show allows a better
plan then, or scrapping then.

Both need somebody who asks again, so that it must clearly pay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from process_opt.belief import Belief
from process_opt.model import ProcessModel
from process_opt.outlook import Outlook, look_ahead, probabilities
from process_opt.plan import Plan, cost_of, worth

Floats = NDArray[np.float64]

GAIN_WORTH_PATIENCE = 0.01
"""Share of what is at stake that going on must gain: that sum trusts people to ask again."""
ASKED_AGAIN = 0.9
"""Going on like that must pay even if only this share of the parts is asked about again and the others lose."""
DOUBTERS = 0.2
"""Its gain is the one that this share of the draws does not reach."""
SHOWN = 16
"""Possible results of the last look before the end, all that is read until then together."""


def patient(model: ProcessModel, belief: Belief, best: Plan) -> Plan | None:
    """`best` as the first of plans that are renewed, and given up where the last look shows no hope, if that clearly
    pays although `best` as written does not; its value is that of both, its chance is before anything is given up."""
    scrap, stake = model.process.scrap, model.process.value - model.process.escape
    risk = scrap - best.value
    if risk <= 0:
        return None
    ahead = look_ahead(model, belief, best.v, best.run, replanned=True)
    chances = probabilities(ahead)
    cost = cost_of(model, belief, best.v, best.run)
    doubting = np.argsort(chances, kind="stable")[: max(2, round(2 * DOUBTERS * model.size))]
    sure = _given_up_late(model, ahead, chances, cost, doubting)
    gain = ASKED_AGAIN * (sure - scrap) - (1 - ASKED_AGAIN) * risk
    if gain <= GAIN_WORTH_PATIENCE * stake:
        return None
    return Plan(best.v, best.run, chances, _given_up_late(model, ahead, chances, cost, np.arange(model.size)))


def _given_up_late(
    model: ProcessModel, ahead: Outlook, chances: Floats, cost: float, draws: NDArray[np.int64]
) -> float:
    """Expected money of a part that is scrapped after the last look if that is worth more then.

    All that looks show until then is normal with covariance `ahead.shown`; the same result is seen in every draw. A
    part that is given up has cost all of its steps: the last look stands shortly before the end.

    Args:
        draws: that are asked.
    """
    rows = len(ahead.mean)
    if ahead.shown is None or not rows or not ahead.settled:
        return worth(model, float(chances[draws].mean()), cost)
    shown = ahead.shown[:, :, draws]
    root = np.linalg.cholesky(shown.transpose(2, 0, 1) + 1e-9 * np.eye(rows))  # n x m x m
    seen = np.einsum("nij,sj->isn", root, _results(rows))  # m x SHOWN x n
    means = (ahead.mean[:, None, draws] + seen).reshape(rows, -1)
    left = np.tile(ahead.cov[:, :, draws] - shown, SHOWN)
    then = probabilities(replace(ahead, cov=left), means).reshape(SHOWN, -1).mean(axis=1)
    going = np.array([worth(model, float(p), cost) for p in then])
    return float(np.maximum(going, model.process.scrap - cost).mean())


_cache: dict[int, Floats] = {}


def _results(rows: int) -> Floats:
    """`SHOWN x rows`: quasi-random standard normal numbers, the same at every question."""
    from scipy.stats import qmc

    if rows not in _cache:
        points = qmc.Sobol(rows, scramble=True, rng=np.random.default_rng(9)).random(SHOWN)
        _cache[rows] = ndtri(np.clip(points, 1e-6, 1 - 1e-6))
    return _cache[rows]
