"""What happened to earlier parts: a table, checked, as arrays (contracts, section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from process_opt.choices import is_numbered
from process_opt.counted import COUNT, NUMBER
from process_opt.identify import moved_together
from process_opt.pieces import FIXED, read_pieces
from process_opt.process import Process
from process_opt.scales import check_units
from process_opt.swapped import check_swapped
from qc.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

FIRST_ROW = 2
"""Number of the first part's row, as people count: the names of the columns stand in row 1."""
ASSIGNMENTS = ("operator", "dither", "recommendation", "")


@dataclass(frozen=True)
class History:
    """`N` parts in the order of the table. NaN: nothing recorded, or the part never got there."""

    settings: Floats
    """`N x S`, in the order of `process.settings`, in their units."""
    readings: Floats
    """`N x M`, in the order of `process.measurements`, in their units."""
    last: NDArray[np.int64]
    """`N`: the place of the last step that the part went through."""
    scrapped: NDArray[np.bool_]
    dithered: NDArray[np.bool_]
    """Settings were nominal plus a random offset, whatever the part looked like."""
    advised: NDArray[np.bool_]
    """Settings were those that were recommended."""
    batch: NDArray[np.int64]
    """`N`: place in `batches`, or -1."""
    batches: tuple[str, ...]
    machine: NDArray[np.int64]
    """`K x N`, in the order of `process.machines`: which of the step's machines ran it, or -1 where nobody says."""
    parts: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What is odd but no mistake, one sentence each."""

    @property
    def size(self) -> int:
        """How many parts."""
        return len(self.parts)


def read_history(path: Path, process: Process, *, all_scrapped: bool = False) -> History:
    """The history in a .csv or .parquet file; raises InvalidInput that says what is wrong where."""
    path = Path(path)
    pieces: list[_Piece] = []
    row = FIRST_ROW
    for table in read_pieces(path):
        pieces.append(_piece(table, process, path.name, row))
        row += len(table)
    return _joined(pieces, process, path.name, all_scrapped=all_scrapped)


def parse_history(
    table: pd.DataFrame, process: Process, *, where: str = "history", all_scrapped: bool = False
) -> History:
    """A history from a table.

    Args:
        all_scrapped: may every part have been scrapped? Not where a model is to be fitted, but in a trial run.

    Raises:
        InvalidInput: a column is missing or unknown, a value is not a number or not finite, a part is listed twice, a
            setting is impossible, a column or some of its rows are in another unit (`scales.py`), two readings stand in
            each other's place (`swapped.py`), or no part was ever finished.
    """
    return _joined([_piece(table, process, where, FIRST_ROW)], process, where, all_scrapped=all_scrapped)


@dataclass(frozen=True)
class _Piece:
    """Some rows, checked by themselves; fields as in `History`, names as they were written."""

    settings: Floats
    readings: Floats
    last: NDArray[np.int64]
    scrapped: NDArray[np.bool_]
    dithered: NDArray[np.bool_]
    advised: NDArray[np.bool_]
    batch: NDArray[Any]
    machine: NDArray[np.int64]
    parts: NDArray[Any]


def _piece(table: pd.DataFrame, process: Process, where: str, first: int) -> _Piece:
    """Rows of a table; `first` is the first one's number in the file, as people count its rows."""
    _check_columns(table, process, where)
    parts = _text(table, "part")
    if empty := np.flatnonzero(parts == "").tolist():
        raise InvalidInput(f"{where} row {empty[0] + first}: the part has no name")
    disposition = _text(table, "disposition")
    for wrong in np.flatnonzero(~np.isin(disposition, ("finished", "scrapped")))[:1]:
        raise InvalidInput(
            f"{where} row {wrong + first}: disposition must be finished or scrapped, not {disposition[wrong]!r}"
        )
    assignment = _text(table, "assignment")
    for wrong in np.flatnonzero(~np.isin(assignment, ASSIGNMENTS))[:1]:
        raise InvalidInput(
            f"{where} row {wrong + first}: assignment {assignment[wrong]!r} must be operator, dither, recommendation "
            f"or empty"
        )
    scrapped = disposition == "scrapped"
    settings = _numbers(table, list(process.settings), where, first)
    readings = _numbers(table, list(process.measurements), where, first)
    _check_settings(settings, process, where, first)
    _check_counts(readings, process, where, first)
    return _Piece(
        settings=settings,
        readings=readings,
        last=_last(table, settings, readings, scrapped, process, where, first),
        scrapped=scrapped,
        dithered=np.asarray(assignment == "dither", dtype=bool),
        advised=np.asarray(assignment == "recommendation", dtype=bool),
        batch=_text(table, "batch"),
        machine=_machine(table, process, where, first),
        parts=parts,
    )


def _joined(pieces: list[_Piece], process: Process, where: str, *, all_scrapped: bool) -> History:
    """One history of pieces, with the checks that need all of its rows. The list is emptied on the way, so that the
    numbers lie in memory once."""
    if sum(len(piece.parts) for piece in pieces) == 0:
        raise InvalidInput(f"{where} has no rows")
    parts = np.concatenate([piece.parts for piece in pieces])
    names, counts = np.unique(parts, return_counts=True)
    if (counts > 1).any():
        raise InvalidInput(f"{where} lists part {names[counts > 1][0]} {counts.max()} times; one row a part")
    scrapped = np.concatenate([piece.scrapped for piece in pieces])
    if scrapped.all() and not all_scrapped:
        raise InvalidInput(
            f"{where}: every part was scrapped, so nothing is known of finished parts; add finished ones"
        )
    batch_names = np.concatenate([piece.batch for piece in pieces])
    batches, batch = np.unique(batch_names, return_inverse=True)
    last, dithered, advised = (
        np.concatenate([getattr(p, name) for p in pieces]) for name in ("last", "dithered", "advised")
    )
    machine = np.concatenate([piece.machine for piece in pieces], axis=1)
    settings = np.empty((len(parts), len(process.settings)))
    readings = np.empty((len(parts), len(process.measurements)))
    at = 0
    while pieces:
        piece = pieces.pop(0)
        rows = slice(at, at + len(piece.parts))
        settings[rows], readings[rows] = piece.settings, piece.readings
        at += len(piece.parts)
    check_units(settings, readings, dithered, process, where)
    check_swapped(readings, process, where)
    return History(
        settings=settings,
        readings=readings,
        last=last,
        scrapped=scrapped,
        dithered=dithered,
        advised=advised,
        batch=np.where(batch_names == "", -1, batch).astype(np.int64),
        batches=tuple(str(b) for b in batches),
        machine=machine,
        parts=tuple(parts.tolist()),
        notes=_notes(settings, readings, process, dithered),
    )


def _text(table: pd.DataFrame, name: str) -> NDArray[Any]:
    import pandas as pd

    if name not in table:
        return np.full(len(table), "", dtype=object)
    column = table[name]
    return np.array(["" if pd.isna(v) else str(v).strip() for v in column], dtype=object)


def _machine(table: pd.DataFrame, process: Process, where: str, first: int) -> NDArray[np.int64]:
    out = np.full((len(process.machines), len(table)), -1, dtype=np.int64)
    for row, (column, (_, names)) in zip(out, process.machines.items(), strict=True):
        said = _text(table, column)
        for place, name in enumerate(names):
            row[said == name] = place
        if (wrong := np.flatnonzero((row < 0) & (said != ""))).size:
            n = wrong[0]
            raise InvalidInput(f"{where} row {n + first}: {column} is {said[n]!r}; the step has {', '.join(names)}")
    return out


def _check_columns(table: pd.DataFrame, process: Process, where: str) -> None:
    known = {*FIXED, *process.machines, *process.settings, *process.measurements}
    columns = [str(c) for c in table.columns]
    if twice := sorted({c for c in columns if columns.count(c) > 1}):
        raise InvalidInput(f"{where} has the column {twice[0]} twice")
    if len(columns) == 1 and (split := next((s for s in (";", "\t", "|") if s in columns[0]), None)):
        raise InvalidInput(f"{where} has its columns apart by {split!r}; save it with commas between them")
    if unknown := [c for c in columns if c not in known]:
        raise InvalidInput(f"{where} has the column {unknown[0]}, which the process {process.name} does not know")
    needed = ["part", "disposition", *process.conformance]
    if missing := [c for c in needed if c not in columns]:
        raise InvalidInput(f"{where} lacks the column {missing[0]}")


def _numbers(table: pd.DataFrame, names: list[str], where: str, first: int) -> Floats:
    import pandas as pd

    out = np.full((len(table), len(names)), np.nan)
    for j, name in enumerate(names):
        if name not in table:
            continue
        column = table[name]
        values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        blank: NDArray[np.bool_] = column.isna().to_numpy()
        if not pd.api.types.is_numeric_dtype(column):  # text of a million rows takes longer than all the rest
            blank = blank | (column.astype(str).str.strip() == "").to_numpy()
        if (bad := ~blank & ~np.isfinite(values)).any():
            row = int(np.flatnonzero(bad)[0])
            raise InvalidInput(
                f"{where} row {row + first}: {name} must be a number or empty, not {str(column.iloc[row])!r}"
            )
        out[:, j] = values
    return out


def _check_settings(settings: Floats, process: Process, where: str, first: int) -> None:
    for j, (name, (_, setting)) in enumerate(process.settings.items()):
        values = settings[:, j]
        different, place = np.unique(values, return_inverse=True)
        possible = np.array([np.isnan(value) or setting.allows(float(value)) for value in different], dtype=bool)
        wrong = np.flatnonzero(~possible[place])
        if wrong.size:
            known = np.isfinite(values).sum()
            hint = "; is the column in another unit?" if wrong.size > 0.5 * known else ""
            raise InvalidInput(
                f"{where} row {wrong[0] + first}: {name} = {values[wrong[0]]:g} is impossible, the machine allows "
                f"{setting.allowed}{hint}"
            )


def _check_counts(readings: Floats, process: Process, where: str, first: int) -> None:
    for j, (name, (_, m)) in enumerate(process.measurements.items()):
        if m.kind == NUMBER:
            continue
        y = readings[:, j]
        wrong = np.flatnonzero((y < 0) | ((m.kind == COUNT) & np.isfinite(y) & (y != np.round(y))))
        if wrong.size:
            what = "a whole number of 0 or more" if m.kind == COUNT else "0 or more"
            raise InvalidInput(
                f"{where} row {wrong[0] + first}: {name} is a {m.kind}, so it must be {what}, not {y[wrong[0]]:g}"
            )


def _last(
    table: pd.DataFrame,
    settings: Floats,
    readings: Floats,
    scrapped: NDArray[np.bool_],
    process: Process,
    where: str,
    first: int,
) -> NDArray[np.int64]:
    """The place of the last step each part went through."""
    last = np.full(len(table), len(process.steps) - 1, dtype=np.int64)
    at = _text(table, "scrapped_at")
    for n in np.flatnonzero(at != ""):
        if at[n] not in process.place:
            raise InvalidInput(f"{where} row {n + first}: scrapped_at {at[n]} is not a step")
        if not scrapped[n]:
            raise InvalidInput(f"{where} row {n + first}: a finished part has scrapped_at {at[n]}")
        last[n] = process.place[at[n]]
    places = np.array(
        [k for k, _ in process.settings.values()] + [k for k, _ in process.measurements.values()], dtype=np.int64
    )
    seen = np.isfinite(np.hstack([settings, readings]))
    furthest = np.where(seen, places, -1).max(axis=1) if places.size else np.full(len(table), -1)
    unknown = scrapped & (at == "")
    last[unknown] = np.maximum(furthest[unknown], 0)
    known = scrapped & (at != "")
    if (late := np.flatnonzero(known & (furthest > last))).size:
        n = late[0]
        raise InvalidInput(f"{where} row {n + first}: the part was scrapped at {at[n]} but has values of later steps")
    return last


def _notes(settings: Floats, readings: Floats, process: Process, dithered: NDArray[np.bool_]) -> tuple[str, ...]:
    notes = []
    for block, names in ((settings, list(process.settings)), (readings, list(process.measurements))):
        for j, name in enumerate(names):
            values = block[np.isfinite(block[:, j]), j]
            if values.size == 0:
                notes.append(f"{name} was never recorded")
            elif values.size > 1 and np.ptp(values) == 0:
                notes.append(f"{name} never varies, so its effect cannot be learnt from this history")
    for j, (name, (_, setting)) in enumerate(process.settings.items()):
        values = settings[np.isfinite(settings[:, j]), j]
        if not setting.values and is_numbered(setting, values):
            stood = ", ".join(f"{value:g}" for value in np.unique(values))
            notes.append(
                f"{name} has no unit and only stood at {stood}: nothing between is advised; give it a unit if it can "
                "be set between"
            )
    for name, other in moved_together(settings, dithered, process).items():
        notes.append(
            f"{name} was only moved together with other settings on dithered parts, most with {other}, so what it does "
            "alone cannot be told; dither it by itself"
        )
    if not dithered.any():
        notes.append("no row is dithered, so no setting's effect can be told apart from the operators' habits")
    return tuple(notes)
