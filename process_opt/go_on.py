"""Learning on from a fitted model with a further history, without the rows that it was fitted on.

What a model keeps of those is how surely its weights are known together (`knowledge.py`): sums over their parts, which
the scores of further parts are weighed against (`learn.py`). So this takes time for the new rows only, however many
there were before. What needs rows side by side is not found anew: effects of another form (`nonlinear.py`, `skips.py`),
shifts of batches and machines, people's habits, drift as such; for these the process is fitted again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from process_opt.history import History
from process_opt.learn import update
from process_opt.model import ProcessModel
from process_opt.process import Process

AT_ONCE = 500
"""Parts between two words on the progress."""


def go_on(
    model: ProcessModel, history: History, progress: Callable[[float], None] = lambda _share: None
) -> ProcessModel:
    """The model after a further history, in the order of its rows, as if its parts had been told as outcomes.

    Args:
        progress: called with the share done, in [0, 1].
    """
    for first in range(0, history.size, AT_ONCE):
        rows = range(first, min(first + AT_ONCE, history.size))
        model = update(model, [as_outcome(history, n, model.process) for n in rows])
        progress(rows.stop / history.size)
    return model


def as_outcome(history: History, row: int, process: Process) -> dict[str, Any]:
    """One part of a history as the outcome that would have been told of it (contracts, section 4)."""
    seen = [
        *zip(process.settings, history.settings[row], strict=True),
        *zip(process.measurements, history.readings[row], strict=True),
    ]
    machines = {
        process.steps[k].name: names[place]
        for (k, names), place in zip(process.machines.values(), history.machine[:, row], strict=True)
        if place >= 0
    }
    scrapped = bool(history.scrapped[row])
    return {
        "part": history.parts[row],
        "batch": history.batches[history.batch[row]] if history.batch[row] >= 0 else None,
        "machines": machines,
        "disposition": "scrapped" if scrapped else "finished",
        "scrapped_at": process.steps[history.last[row]].name if scrapped else None,
        "assignment": "dither" if history.dithered[row] else "recommendation" if history.advised[row] else "",
        "observed": {name: float(value) for name, value in seen if np.isfinite(value)},
    }
