"""Were the predictions right? On parts that the fit has not seen, and on those that were advised since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from process_opt.model import ProcessModel
from process_opt.state_space import smooth

if TYPE_CHECKING:
    from process_opt.estimate import Data

Floats = NDArray[np.float64]

SHARES = (0.25, 0.5, 0.75)
"""How much of a part's way is known when its end is predicted."""
WORST = 25.0
"""A squared standardised error counts for no more: one slip of a gauge must not widen every promise."""
ALIKE, OWN = 0.1, 0.05
"""Standard deviations, before anything was seen, of the logarithm of the factor between the errors' variance and the
promised one: what all deciding readings share, and each reading's own. Fits are within a tenth of right on every line
tried, and 300 parts say no more than that themselves."""
OLD = 0.2
"""Likewise for how far that may have changed since the fit."""


def held_out_check(model: ProcessModel, data: Data) -> dict[str, Any]:
    """Predict the deciding readings of held-out parts from the first quarter, half and three quarters of their way.

    Dithered parts only, where there are enough: on the others people reacted to what came in between.

    Returns:
        `parts`; `widen`: factor for the predictive variance of each deciding reading, and `widen_sd`, how sure its
        logarithm is; `coverage90`: share of errors inside the 90 % interval before and after widening.
    """
    rows = np.flatnonzero(~data.people)
    alone = rows.size >= 40
    data = data.rows(rows) if alone else data
    deciding = len(model.process.conformance)
    squares = np.array([surprises(model, data, share) for share in SHARES])  # shares x deciding x N
    known = np.isfinite(squares).all(axis=0)
    count = known.sum(axis=1)
    mean, error = _mean_square(squares, known)
    widen, sd = weigh_misfit(np.zeros(deciding), _prior(deciding), np.log(np.maximum(mean, 0.1)), error)
    z2 = squares[:, known]
    wide = np.repeat(np.exp(widen), count)
    return {
        "parts": int(data.size),
        "dithered": bool(alone),
        "widen": np.exp(widen).round(6).tolist(),
        "widen_sd": sd.round(6).tolist(),
        "coverage90": {
            "as_fitted": round(float(np.mean(z2 < 1.645**2)), 4) if z2.size else None,
            "widened": round(float(np.mean(z2 / wide < 1.645**2)), 4) if z2.size else None,
        },
    }


def surprises(model: ProcessModel, data: Data, share: float) -> Floats:
    """`deciding x N`: squared standardised errors, as fitted, of the deciding readings, predicted from the first
    `share` of the way and all settings; NaN where not read."""
    process, layout = model.process, model.layout
    names = list(process.measurements)
    deciding = [names.index(name) for name in process.conformance]
    y = data.y.copy()
    for place, (k, _) in enumerate(process.measurements.values()):
        if k >= share * len(process.steps) and place not in deciding:
            y[place] = np.nan
    path = smooth(
        list(model.motions), layout.reads, layout.levers, model.gauge, model.start, {},
        y, data.v, data.people, list(data.skipped), bounds=layout.bounds(y),
    )  # fmt: skip
    out: Floats = np.full((len(deciding), data.size), np.nan)
    for place, innovation, variance in path.misfit:
        if place in deciding:
            out[deciding.index(place)] = innovation**2 / variance
    return np.minimum(out, WORST)


def weigh_misfit(prior: Floats, covariance: Floats, seen: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Posterior mean and standard deviation of the logarithms of the factors, `m` each, all normal.

    Args:
        prior, covariance: `m`, `m x m`, before.
        seen, error: `m`, logarithms found and their standard errors; infinite where nothing was seen.
    """
    told = np.where(np.isfinite(error), 1.0 / np.maximum(error, 1e-6) ** 2, 0.0)
    gain = covariance @ np.linalg.inv(np.eye(prior.size) + told[:, None] * covariance) * told
    mean = prior + gain @ np.where(told > 0, seen - prior, 0.0)
    return mean, np.sqrt(np.maximum(np.diag(covariance - gain @ covariance), 0.0))


def _prior(deciding: int) -> Floats:
    return np.full((deciding, deciding), ALIKE**2) + OWN**2 * np.eye(deciding)


def since_fit(sd: Floats) -> Floats:
    """Prior covariance of the factors' logarithms for what outcomes show: the fit's uncertainty, and change since."""
    return np.full((sd.size, sd.size), OLD**2) + np.diag(sd**2)


def _mean_square(squares: Floats, known: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """`m` means over parts and looks, and the standard errors of their logarithms over parts; infinite below 30."""
    each = np.where(known, squares.mean(axis=0), 0.0)
    count = known.sum(axis=1)
    n = np.maximum(count, 1)
    mean = each.sum(axis=1) / n
    variance = (np.where(known, each - mean[:, None], 0.0) ** 2).sum(axis=1) / np.maximum(n - 1, 1)
    error = np.sqrt(variance / n) / np.maximum(mean, 0.1)
    return np.where(count > 0, mean, 1.0), np.where(count >= 30, np.maximum(error, np.sqrt(1.0 / n)), np.inf)
