"""Which settings' effects the history can tell apart from the operators' habits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from process_opt.process import Process

if TYPE_CHECKING:
    from process_opt.estimate import Data, Estimate
    from process_opt.history import History

Floats = NDArray[np.float64]

ENOUGH = 40
"""Dithered parts with the setting recorded and finished beyond it; fewer leave an effect's sign open at usual noise."""
ENOUGH_BATCHES = 10
"""Batches that those parts must come from where a setting is one for all parts of a batch: then batches are drawn, not
parts, and what else the batches differ by is told from the setting by their number alone."""
TOGETHER = 10.0
"""Variance inflation (Marquardt 1970, Technometrics 12, p. 606) from which a setting counts as moved with others: nine
tenths of how it was varied goes with them, and its own effect is told from the tenth that is left."""
SEEN = 10_000
"""Parts looked at for that, or up to twice as many."""
MANY = 3
"""Parts for each setting from which on all settings are asked about together; with fewer, chance alone would do it."""
NOT_RANDOM = 6.0
"""Standard deviations of a correlation with an earlier reading, beyond which a setting was not drawn at random: among
ten thousand pairs none comes so far by chance."""


def identified_levers(process: Process, history: History) -> dict[str, bool]:
    """For each setting: was it varied at random, seen or unseen faults notwithstanding, on enough parts?

    Only dither counts. Where people choose seeing the part, they may have seen more than was logged, and no amount of
    logged data can exclude it. What is called dither but follows earlier readings is none (`not_random`). Of a setting
    that the parts of a batch share it takes several batches. Settings that were only moved together are known together
    at best (`moved_together`).
    """
    out = {}
    followed = {*not_random(process, history), *moved_together(history.settings, history.dithered, process)}
    for j, (name, (k, setting)) in enumerate(process.settings.items()):
        rows = history.dithered & np.isfinite(history.settings[:, j]) & (history.last >= k)
        values = history.settings[rows, j]
        varied = values.size >= ENOUGH and float(np.std(values)) > 1e-3 * (setting.high - setting.low)
        drawn = not setting.shared or np.unique(history.batch[rows]).size >= ENOUGH_BATCHES
        out[name] = bool(varied) and bool(drawn) and name not in followed
    return out


def moved_together(settings: Floats, dithered: NDArray[np.bool_], process: Process) -> dict[str, str]:
    """Settings that dithered parts had only together with other ones, and the one that each goes with most: what one of
    them does alone cannot be told.

    Args:
        settings: `N x S`, NaN where not recorded; dithered: `N`.
    """
    rows = np.flatnonzero(dithered)
    v = settings[rows[:: max(1, rows.size // SEEN)]]
    known = np.isfinite(v)
    count = known.sum(axis=0)
    x = np.where(known, v, 0.0)
    x = np.where(known, x - x.sum(axis=0) / np.maximum(count, 1), 0.0)
    both = known.T.astype(float) @ known
    size = (x**2).T @ known  # of the row's setting, where the column's is on record, too
    spread = np.sqrt(size * size.T)
    asked = (both >= ENOUGH) & (spread > 0)
    r = np.where(asked, x.T @ x / np.where(asked, spread, 1.0), 0.0)
    varied = np.flatnonzero(np.diag(asked))
    r = r[np.ix_(varied, varied)]
    pairs = np.abs(r - np.eye(varied.size))
    inflated = 1.0 / np.maximum(1.0 - pairs.max(axis=1, initial=0.0) ** 2, 1e-9)
    if varied.size and both[np.ix_(varied, varied)].min() >= MANY * varied.size:
        share, ways = np.linalg.eigh(r)
        inflated = (ways**2 / np.maximum(share, 1e-9)).sum(axis=1)
    names = [list(process.settings)[j] for j in varied]
    return {names[i]: names[int(np.argmax(pairs[i]))] for i in np.flatnonzero(inflated > TOGETHER)}


def not_random(process: Process, history: History) -> dict[str, str]:
    """Settings that follow a reading taken before them although their rows are called dithered, and that reading.

    A negative control: nothing that was read before can depend on a setting drawn at random.
    """
    rows = history.dithered
    if rows.sum() < ENOUGH:
        return {}
    v, y = history.settings[rows], history.readings[rows]
    steps = np.array([k for k, _ in process.settings.values()], dtype=np.int64)
    taken = np.array([k for k, _ in process.measurements.values()], dtype=np.int64)
    out: dict[str, str] = {}
    names, readings = list(process.settings), list(process.measurements)
    for j in range(v.shape[1]):
        earlier = np.flatnonzero(taken < steps[j])
        both = np.isfinite(y[:, earlier]) & np.isfinite(v[:, j : j + 1])
        count = both.sum(axis=0)
        n = np.maximum(count, 1)
        x = np.where(both, v[:, j : j + 1], 0.0)
        x = np.where(both, x - x.sum(axis=0) / n, 0.0)
        r = np.where(both, y[:, earlier], 0.0)
        r = np.where(both, r - r.sum(axis=0) / n, 0.0)
        size = np.sqrt((x**2).sum(axis=0) * (r**2).sum(axis=0))
        z = np.where((count >= ENOUGH) & (size > 0), (x * r).sum(axis=0) / np.maximum(size, 1e-300) * np.sqrt(n), 0.0)
        if z.size and np.abs(z).max() > NOT_RANDOM:
            out[names[j]] = readings[earlier[int(np.argmax(np.abs(z)))]]
    return out


def looks(estimate: Estimate, data: Data) -> dict[str, dict[str, Any]]:
    """How each setting was chosen, for `sensitivity.py`.

    Returns:
        `dithered`, `chosen`: parts on which it was drawn at random, chosen by people; `random`: share of what is known
        of its effect that comes from the drawn ones; `explained`: share of the people's choice that what they saw of
        the part explains, logged or not (None with fewer than 40 such parts).
    """
    out = {}
    for j, name in enumerate(estimate.process.settings):
        known = np.isfinite(data.v[j])
        drawn, chosen = data.v[j][known & ~data.people], data.v[j][known & data.people]
        habit = estimate.habits.get(j)
        total = float(chosen.var()) if chosen.size >= ENOUGH else 0.0
        left = min(habit.noise, total) if habit is not None else total
        told = drawn.size * float(drawn.var()) if drawn.size > 1 else 0.0
        whole = told + chosen.size * left
        out[name] = {
            "dithered": int(drawn.size),
            "chosen": int(chosen.size),
            "random": round(told / whole, 4) if whole > 0 else 0.0,
            "explained": round(1 - left / total, 4) if total > 0 else None,
        }
    return out
