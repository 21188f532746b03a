"""What came of a trial run: rows of a history as values of the network's nodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from process_opt.history import History
from process_opt.recipe.steps import MONEY, RecipeNetwork
from qc.errors import InvalidInput

Floats = NDArray[np.float64]

SAME = 0.02
"""Of the width a setting may be moved over: how far parts may lie from a trial's settings and still belong to it."""


@dataclass(frozen=True)
class Outcome:
    """One trial's parts, in the network's numbers."""

    parts: int
    values: dict[str, float]
    variance: dict[str, float]
    inflow: dict[str, tuple[float, ...]]
    money: float
    """For a part, as it came."""


def sort_out(recipe: RecipeNetwork, history: History, asked: dict[int, dict[str, float]]) -> dict[int, list[int]]:
    """Which rows belong to which open trial.

    Args:
        asked: number of a running trial to its settings, standardised.

    Raises:
        InvalidInput: a row has the settings of no open trial, or does not tell them.
    """
    names = list(recipe.model.process.settings)
    column = [names.index(i.name) for i in recipe.network.inputs]
    settings = recipe.model.layout.settings(history.settings)[:, column]
    places = {n: recipe.network.cube(chosen) for n, chosen in asked.items()}
    out: dict[int, list[int]] = {n: [] for n in asked}
    cube = (settings - recipe.network.low) / recipe.network.width
    for i in range(history.size):
        known = np.isfinite(cube[i])
        off = {n: float(np.abs(cube[i] - x)[known].max(initial=0.0)) for n, x in places.items()}
        if not known.any():
            raise InvalidInput(f"part {history.parts[i]} does not tell its settings, so its trial is not known")
        best = min(off, key=lambda n: off[n]) if off else -1
        if best < 0 or off[best] > SAME:
            raise InvalidInput(
                f"part {history.parts[i]} was not run with the settings of an open trial"
                + (
                    f"; nearest is trial {best}, off by {off[best]:.0%} of a setting's range"
                    if off
                    else "; none is open"
                )
            )
        out[best].append(i)
    return {n: rows for n, rows in out.items() if rows}


def matching(recipe: RecipeNetwork, history: History, asked: dict[int, dict[str, float]]) -> dict[int, list[int]]:
    """Rows that were surely run with the settings of an open trial; all others are left out.

    A row belongs to a trial if it tells every setting that the trial moves, and none that it tells lies elsewhere.
    """
    names = list(recipe.model.process.settings)
    column = [names.index(i.name) for i in recipe.network.inputs]
    cube = (recipe.model.layout.settings(history.settings)[:, column] - recipe.network.low) / recipe.network.width
    today = recipe.network.cube(recipe.present)
    out: dict[int, list[int]] = {}
    for number, chosen in asked.items():
        place = recipe.network.cube(chosen)
        moved = np.abs(place - today) > SAME
        told = np.isfinite(cube[:, moved]).all(axis=1) & moved.any()
        near = (np.abs(np.where(np.isfinite(cube), cube, place) - place) <= SAME).all(axis=1)
        if rows := np.flatnonzero(told & near).tolist():
            out[number] = rows
    return out


def outcome(recipe: RecipeNetwork, history: History, rows: list[int]) -> Outcome:
    """The mean part of a trial at each look.

    A look's mean is compared with the mean at the look before *of the same parts*, so that scrapping on the way does
    not look like an effect of the settings. Its error is what the steps between add by chance and the gauges' error,
    over the number of parts; and the whole of what a batch's parts have in common, as one trial is one batch.
    """
    model, layout = recipe.model, recipe.model.layout
    y = layout.readings(history.readings[rows])
    shifts = model.batches.shifts
    shared = shifts.var(axis=0) if len(shifts) > 1 else np.zeros((len(model.motions), layout.d))
    values: dict[str, float] = {}
    variance: dict[str, float] = {}
    inflow: dict[str, tuple[float, ...]] = {}
    before: dict[str, int] = {}
    nodes = {node.name: node for node in recipe.network.nodes}
    for look in recipe.looks:
        here: dict[str, int] = {}
        for place, c in look.read:
            name = look.nodes[c]
            there = np.isfinite(y[:, place])
            if not there.any():
                continue
            here[name] = place
            values[name] = float(y[there, place].mean())
            chance = sum(float(model.motions[k].noise[c, c]) for k in look.steps) + float(model.gauge[place])
            variance[name] = chance / int(there.sum()) + float(sum(shared[k, c] for k in look.steps))
            parents = nodes[name].parents
            if parents and all(p in before for p in parents) and not there.all():
                fed = [y[there & np.isfinite(y[:, before[p]]), before[p]] for p in parents]
                if all(len(f) for f in fed):
                    inflow[name] = tuple(float(f.mean()) for f in fed)
        before = here
    money = float(np.mean([_money(recipe, history, i) for i in rows]))
    values[MONEY] = money
    return Outcome(len(rows), values, variance, inflow, money)


def _money(recipe: RecipeNetwork, history: History, i: int) -> float:
    process = recipe.model.process
    names = list(process.measurements)
    run = sum(s.cost for k, s in enumerate(process.steps) if k <= history.last[i] and not s.optional)
    if history.scrapped[i]:
        return process.scrap - run
    for name in process.conformance:
        value = history.readings[i, names.index(name)]
        reading = process.measurements[name][1]
        if not reading.lower <= value <= reading.upper:
            return process.escape - run
    return process.value - run
