"""Which settings' effects the history can tell apart from the operators' habits."""

from __future__ import annotations

import numpy as np

from process_opt.history import History
from process_opt.process import Process

ENOUGH = 40
"""Dithered parts with the setting recorded and finished beyond it; fewer leave an effect's sign open at usual noise."""


def identified_levers(process: Process, history: History) -> dict[str, bool]:
    """For each setting: was it varied at random, seen or unseen faults notwithstanding, on enough parts?

    Only dither counts. Where people choose seeing the part, they may have seen more than was logged, and no amount of
    logged data can exclude it.
    """
    out = {}
    for j, (name, (k, setting)) in enumerate(process.settings.items()):
        rows = history.dithered & np.isfinite(history.settings[:, j]) & (history.last >= k)
        values = history.settings[rows, j]
        varied = values.size >= ENOUGH and float(np.std(values)) > 1e-3 * (setting.high - setting.low)
        out[name] = bool(varied)
    return out
