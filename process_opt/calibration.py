"""Were the predictions right? On parts that the fit has not seen, and on those that were advised since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from process_opt.misfit import FEWEST_DITHERED, WORST, Factors, drawn_together, factors
from process_opt.model import ProcessModel
from process_opt.smoother import Line, Records, smooth

if TYPE_CHECKING:
    from process_opt.estimate import Data

Floats = NDArray[np.float64]

LEVELS = tuple(round(0.05 * n, 2) for n in range(2, 20))
"""Sizes of intervals that the check is told for."""
SHARES = (0.25, 0.5, 0.75)
"""How much of a part's way is known when its end is predicted."""


def held_out_check(model: ProcessModel, data: Data, found: Factors) -> dict[str, Any]:
    """What every prediction is to be widened by, and how that does on held-out parts: their deciding readings,
    predicted from the first quarter, half and three quarters of their way.

    Dithered parts only, where there are enough: on the others people reacted to what came in between.

    Args:
        found: from the parts that were fitted (`misfit.py`).

    Returns:
        `parts`; `widen`: factor for the predictive variance of each deciding reading; `widen_sd`, how surely its
        logarithm is known, on average over the way; `widen_later`, `T x m`, by how much more unsure (as a variance) it
        is before each step; `widen_alike`, how much of that the readings share, and `widen_parts`, how many parts say
        so; `coverage90`: share of errors inside the 90 % interval before and after widening; `coverage`: after it, for
        intervals of every size.
    """
    rows = np.flatnonzero(~data.people)
    alone = rows.size >= FEWEST_DITHERED
    data = data.rows(rows) if alone else data
    squares = np.array([surprises(model, data, share) for share in SHARES])  # shares x deciding x N
    known = np.isfinite(squares).all(axis=0)
    z2 = squares[:, known]
    wide = np.repeat(np.exp(found.log), known.sum(axis=1))
    return {
        "parts": int(data.size),
        "dithered": bool(alone),
        "widen": np.exp(found.log).round(6).tolist(),
        "widen_sd": found.sd.round(6).tolist(),
        "widen_later": found.later.round(8).tolist(),
        "widen_alike": round(found.alike, 4),
        "widen_parts": found.parts,
        "coverage90": {
            "as_fitted": round(float(np.mean(z2 < 1.645**2)), 4) if z2.size else None,
            "widened": round(float(np.mean(z2 / wide < 1.645**2)), 4) if z2.size else None,
        },
        "coverage": [
            {"interval": level, "held": round(float(np.mean(z2 / wide < ndtri((1 + level) / 2) ** 2)), 4)}
            for level in (LEVELS if z2.size else ())
        ],
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
        Line(model.motions, layout.reads, layout.levers, model.gauge, model.start),
        Records(y, data.v, data.people, data.skipped, bounds=layout.bounds(y)),
    )
    out: Floats = np.full((len(deciding), data.size), np.nan)
    for place, innovation, variance in path.misfit:
        if place in deciding:
            out[deciding.index(place)] = innovation**2 / variance
    return np.minimum(out, WORST)


def since_fit(base: Floats, sure: Floats, squares: Floats, counts: Floats) -> Factors:
    """The factors after some outcomes: those of the fit, and how far errors have changed since, drawn together.

    Args:
        base, sure: `m`, the fit's factors and how surely their logarithms were known.
        squares, counts: `m`, sums of squared standardised errors since, and how many.
    """
    told = np.flatnonzero(counts > 0)
    seen = np.log(np.maximum(squares[told] / counts[told], 0.1)) - np.log(base[told])
    m = base.size
    fitted, tie = np.diag(sure**2), 1.0 + np.eye(m)
    both = np.ix_(told, told)
    mean, cov = drawn_together(
        seen, np.diag(2.0 / counts[told]), (fitted[both], fitted[:, told], fitted), (tie[both], tie[:, told], tie)
    )
    return factors(np.log(base) + mean, cov, int(counts.max(initial=0.0)))
