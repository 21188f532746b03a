"""Settings beyond what the history has seen them vary: how far, how much their effect is doubted there, what is said.

Within what was seen, draws and misfit say how surely an effect is known. Beyond, nothing does: an effect in proportion
may bend, and no test on the history can tell. So each such setting's effect beyond is taken to be what it was before
times a normal number around 1, which no reading before it tells anything of: a part that a bold correction may save is
tried where that pays in spite of the doubt, and later readings say how it went.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from process_opt.tables import Tables

if TYPE_CHECKING:
    from process_opt.model import ProcessModel

Floats = NDArray[np.float64]

DOUBT = 0.5
"""Standard deviation of that number."""
FELT = 0.02
"""Standardised: less beyond is a matter of rounding."""


def far(tables: Tables, places: NDArray[np.int64], v: Floats) -> Floats:
    """How far the settings at `places` lie beyond what was seen if they are put to `v`, standardised; 0 within."""
    beyond: Floats = np.maximum(np.maximum(v - tables.high[places], tables.low[places] - v), 0.0)
    return beyond


def doubt(gain: Floats, beyond: Floats) -> Floats:
    """`m x m x D`: covariance that doubt adds to readings.

    Args:
        gain: `m x q x D`, their response to each setting.
        beyond: `q`, as from `far`.
    """
    some = np.flatnonzero(beyond)
    unknown = gain[:, some] * (DOUBT * beyond[some])[:, None]
    return np.asarray(np.einsum("mqn,rqn->mrn", unknown, unknown))


def told(model: ProcessModel, v: Floats) -> str:
    """One sentence for an engineer on settings that a plan moves beyond what was seen; nothing where none is."""
    t, layout = model.tables, model.layout
    beyond = far(t, np.arange(len(v)), v)
    names: Sequence[str] = list(model.process.settings)
    moved = []
    for j in np.flatnonzero(beyond > FELT):
        seen = layout.nominal[j] + layout.stretch[j] * (t.high[j] if v[j] > 0 else t.low[j])
        moved.append(f"{names[j]} (seen as far as {seen:.4g} {model.process.settings[names[j]][1].unit}".rstrip() + ")")
    if not moved:
        return ""
    many = len(moved) > 1
    return (
        f" Beyond what the history has seen, where {'their effects are' if many else 'its effect is'} taken to be "
        f"unsure by half: {', '.join(moved)}."
    )
