"""Were the predictions right? On parts that the fit has not seen, and on those that were advised since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from process_opt.model import ProcessModel
from process_opt.state_space import smooth

if TYPE_CHECKING:
    from process_opt.estimate import Data


def held_out_check(model: ProcessModel, data: Data) -> dict[str, Any]:
    """Predict the deciding readings of held-out parts from the first quarter, half and three quarters of their way.

    Dithered parts only, where there are enough: on the others people reacted to what came in between.

    Returns:
        `parts`; `widen`: factor for the predictive variance of each deciding reading (at least 1), from their
        standardised
        errors; `coverage90`: share of errors inside the 90 % interval before and after widening.
    """
    process, layout = model.process, model.layout
    deciding = [list(process.measurements).index(name) for name in process.conformance]
    rows = np.flatnonzero(~data.people)
    alone = rows.size >= 40
    data = data.rows(rows) if alone else data
    ratios: list[list[NDArray[np.float64]]] = [[] for _ in deciding]
    steps = len(process.steps)
    for share in (0.25, 0.5, 0.75):
        y = data.y.copy()
        for name, (k, _) in process.measurements.items():
            place = list(process.measurements).index(name)
            if k >= share * steps and place not in deciding:
                y[place] = np.nan
        path = smooth(
            list(model.motions),
            layout.reads,
            layout.levers,
            model.gauge,
            model.start,
            {},
            y,
            data.v,
            data.people,
            list(data.skipped),
        )
        for place, innovation, variance in path.misfit:
            if place in deciding:
                use = np.isfinite(innovation)
                ratios[deciding.index(place)].append(
                    innovation[use] ** 2 / np.broadcast_to(variance, innovation.shape)[use]
                )
    widen, before, after = [], [], []
    for one in ratios:
        z2 = np.concatenate(one) if one else np.ones(0)
        if z2.size < 30:
            widen.append(1.0)
            continue
        factor = max(1.0, float(np.mean(np.minimum(z2, 25.0))))
        widen.append(factor)
        before.append(float(np.mean(z2 < 1.645**2)))
        after.append(float(np.mean(z2 / factor < 1.645**2)))
    return {
        "parts": int(data.size),
        "dithered": bool(alone),
        "widen": widen,
        "coverage90": {
            "as_fitted": round(float(np.mean(before)), 4) if before else None,
            "widened": round(float(np.mean(after)), 4) if after else None,
        },
    }
