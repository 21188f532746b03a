"""What one partner may know: its own steps, and the readings at its two borders that go with the part anyway.

A *visit* is a run of steps one after another at the same partner; a part may visit a partner more than once. In comes
the delivery record: the readings of the neighbour's last step. Out goes the part, and what the next partner's goods-in
inspection reads (its first steps, as long as they have no settings of their own) is told back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from process_opt.history import History, parse_history
from process_opt.pieces import FIXED, read_table
from process_opt.process import Process, Step
from qc.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Visit:
    """Steps `first` to `last` (places in the process, both included) at one partner."""

    partner: str
    first: int
    last: int
    inward: int | None
    """Place of the step whose readings come with the part; None: the way begins here."""
    outward: int
    """Steps `last + 1` to `outward` are the next partner's goods-in inspection; `last` where there is none."""

    @property
    def places(self) -> range:
        """Of the steps run here."""
        return range(self.first, self.last + 1)


def visits(process: Process) -> tuple[Visit, ...]:
    """All visits, in the order of the way; raises InvalidInput where a step has no partner."""
    steps = process.steps
    if nobody := next((s.name for s in steps if not s.partner), None):
        raise InvalidInput(f"{process.name}: step {nobody} names no partner; every step needs one to be learnt apart")
    starts = [k for k in range(len(steps)) if k == 0 or steps[k].partner != steps[k - 1].partner]
    out = []
    for first, after in zip(starts, [*starts[1:], len(steps)], strict=True):
        outward = after - 1
        while outward + 1 < len(steps) and outward >= after - 1 and not steps[outward + 1].settings:
            outward += 1
        if first and steps[first - 1].optional:
            raise InvalidInput(
                f"{process.name}: {steps[first - 1].name} is optional and the last step before partner "
                f"{steps[first].partner}; a border must be a step that every part goes through"
            )
        out.append(Visit(steps[first].partner, first, after - 1, first - 1 if first else None, outward))
    return tuple(out)


def seen_by(process: Process, visit: Visit) -> Process:
    """The process as the partner sees it: the border step (readings only) first, its own steps, goods-in inspection.

    No money but costs, and no limits that decide: those are not needed to learn.
    """
    steps = [process.steps[k] for k in visit.places]
    if visit.inward is not None:
        steps.insert(0, _only_read(process.steps[visit.inward]))
    steps += [_only_read(process.steps[k]) for k in range(visit.last + 1, visit.outward + 1)]
    small = replace(process, steps=tuple(steps), conformance=())
    _check_formulas(small, visit)
    return small


def own_rows(table: pd.DataFrame, process: Process, visit: Visit, *, where: str) -> tuple[History, list[str]]:
    """The partner's rows of a table that may hold more than it needs.

    Columns of other partners are left out unread; so are parts that never came here. A part that was scrapped later on
    counts as finished: it went through all of these steps.

    Returns:
        The history of `seen_by(process, visit)`, and notes on what was left out.
    """
    small = seen_by(process, visit)
    mine = {*FIXED, *small.machines, *small.settings, *small.measurements}
    elsewhere = [c for c in map(str, table.columns) if c not in mine and _known(c, process)]
    table = table.drop(columns=elsewhere)
    notes = [f"{len(elsewhere)} columns of other partners were not used"] if elsewhere else []
    if "scrapped_at" in table:
        at = table["scrapped_at"].fillna("").astype(str).str.strip()
        if unknown := [a for a in at.unique() if a and a not in process.place]:
            raise InvalidInput(f"{where}: scrapped_at {unknown[0]} is not a step of {process.name}")
        place = np.array([process.place.get(a, len(process.steps)) for a in at])
        never, later = place < visit.first, (place > visit.last) & (place < len(process.steps))
        table = table.assign(
            disposition=table["disposition"].where(~later, "finished"), scrapped_at=at.where(~later, "")
        )[~never]
    own = [c for c in table.columns if c in mine and _own(str(c), process, visit)]
    if not own:
        raise InvalidInput(f"{where} has no column of partner {visit.partner}'s steps")
    came = table[own].notna().any(axis=1)
    if not came.all():
        notes.append(f"{int((~came).sum())} parts without any value of partner {visit.partner}'s steps were left out")
    return parse_history(table[came].reset_index(drop=True), small, where=where), notes


def read_rows(path: Path, process: Process, visit: Visit) -> tuple[History, list[str]]:
    """`own_rows` of a .csv or .parquet file."""
    return own_rows(read_table(path), process, visit, where=Path(path).name)


def _own(column: str, process: Process, visit: Visit) -> bool:
    found = process.settings.get(column) or process.measurements.get(column)
    return found is not None and visit.first <= found[0] <= visit.last


def _known(column: str, process: Process) -> bool:
    return column in process.settings or column in process.measurements or column in process.machines


def _only_read(step: Step) -> Step:
    return replace(step, settings=(), machines=(), formula=None, optional=False, needs_approval=False, after=None)


def _check_formulas(small: Process, visit: Visit) -> None:
    """A formula may use what was read at the border or since; what lies beyond the border is not known here."""
    known: set[str] = set()
    every = {name.split(".", 1)[1] for name in small.measurements}
    for step in small.steps:
        if step.formula is not None:
            own = {s.name.split(".", 1)[1] for s in step.settings} | set(step.formula.constants)
            used = set().union(*(step.formula.names(n) for n in step.formula.expressions)) - own
            if beyond := sorted((used - known) | (set(step.formula.expressions) - every)):
                raise InvalidInput(
                    f"the formula of {step.name} uses {beyond[0]}, which partner {visit.partner} does not read: let "
                    f"the step before the border measure it"
                )
            known |= set(step.formula.expressions)
        known |= {m.name.split(".", 1)[1] for m in step.measurements}
