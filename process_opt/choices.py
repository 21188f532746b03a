"""Settings that can only be put to certain values: a tool's number, whole passes, a gear. Nothing between is
advised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from process_opt.process import Process, Setting

if TYPE_CHECKING:
    from process_opt.history import History
    from process_opt.model import ProcessModel

Floats = NDArray[np.float64]

NO_UNIT = ("", "1", "-")
"""Of what is counted or numbered; a temperature that is logged in whole degrees has a unit."""
FEWEST, MOST = 100, 12
"""Recorded parts, and different values, of a setting that is taken for a choice though no `values` are given."""
SEEN = 10
"""Dithered parts on which a value must have stood to be advised."""


def choices_of(process: Process, history: History) -> dict[str, list[float]]:
    """For each setting that is a choice, the values that the history knows enough of, nominal always among them.

    A choice is what the process file gives `values` for, or a setting without a unit that the history only has whole
    numbers of, few different ones.
    """
    out = {}
    for j, (name, (_, setting)) in enumerate(process.settings.items()):
        column = history.settings[:, j]
        if not setting.values and not is_numbered(setting, column[np.isfinite(column)]):
            continue
        tried, count = np.unique(np.round(column[history.dithered & np.isfinite(column)], 9), return_counts=True)
        known = {float(value) for value in tried[count >= SEEN]}
        out[name] = sorted(known | {setting.nominal})
    return out


def is_numbered(setting: Setting, recorded: Floats) -> bool:
    """Does a setting that the process file gives no values for look like a choice, by all that was `recorded` of it?"""
    whole = setting.nominal == np.round(setting.nominal) and not (recorded != np.round(recorded)).any()
    if setting.unit.strip() not in NO_UNIT or recorded.size < FEWEST or not whole:
        return False
    return 2 <= np.unique(recorded).size <= MOST


def nearest(model: ProcessModel, v: Floats) -> Floats:
    """Settings `v` (`S`, standardised) with every choice put to its nearest value."""
    out = v.copy()
    for place, values in model.choices.items():
        out[place] = values[int(np.argmin(np.abs(values - v[place])))]
    return out
