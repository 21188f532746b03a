"""Outcomes of parts as a table (contracts, section 5), as a line's own computer or an MES exports it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from process_opt.pieces import FIXED
from process_opt.process import MACHINE, Process
from qc.errors import InvalidInput
from server import process_intake
from server import process_service as service
from server.context import Context
from server.process_intake import MOST_AT_ONCE, CameOf, Taken

FIRST_ROW = 2
"""Number of the first part's row, as people count: the names of the columns stand in row 1."""


def take_table(context: Context, name: str, text: str, *, by: str) -> Taken:
    """Every row as `process_intake.take_outcomes` takes it; a table that is told again counts no part twice.

    Raises:
        InvalidInput: a row makes no sense, and is named; nothing is kept.
        NotFound: there is no such process.
    """
    model = process_intake.model_of(context, name)
    sent = list(outcomes_in(text, model.process))
    for row, content in enumerate(process_intake.seen(context, model, [one.model_dump() for one in sent]), FIRST_ROW):
        service.check_outcome(model, content, where=f"row {row}")
    taken = Taken(0, 0, [])
    for start in range(0, len(sent), MOST_AT_ONCE):
        more = process_intake.take_outcomes(context, name, sent[start : start + MOST_AT_ONCE], by=by)
        taken = Taken(
            taken.accepted + more.accepted,
            taken.duplicates + more.duplicates,
            taken.reworked_without_permission + more.reworked_without_permission,
        )
    return taken


def outcomes_in(text: str, process: Process) -> Iterator[CameOf]:
    """The rows of a table with commas between its columns, each by itself; raises InvalidInput that names the row."""
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        _check_columns(rows.fieldnames or [], process)
        for number, row in enumerate(rows, FIRST_ROW):
            yield _outcome(row, process, f"row {number}")
    except csv.Error as error:
        raise InvalidInput(f"row {rows.line_num}: {error}; save the table with commas between its columns") from error


def _outcome(row: Mapping[str | None, str | None], process: Process, where: str) -> CameOf:
    said = {column: value.strip() for column, value in row.items() if isinstance(value, str) and column is not None}
    if len(said) < len(row):
        raise InvalidInput(f"{where} has more or fewer values than there are columns")
    names = {*process.settings, *process.measurements}
    machines = {
        column.removesuffix(f".{MACHINE}"): said[column] for column in process.machines if said.get(column, "") != ""
    }
    return CameOf(
        part=said["part"],
        batch=said.get("batch") or None,
        machines=machines or None,
        disposition=said["disposition"],
        scrapped_at=said.get("scrapped_at") or None,
        assignment=said.get("assignment", ""),
        observed={name: _number(said[name], name, where) for name in said if name in names and said[name] != ""},
    )


def _number(text: str, name: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InvalidInput(f"{where}: {name} must be a number or empty, not {text!r:.80}") from error


def _check_columns(columns: Sequence[str], process: Process) -> None:
    known = {*FIXED, *process.machines, *process.settings, *process.measurements}
    for column in columns:
        if column not in known:
            raise InvalidInput(f"there is the column {column!r:.80}, which the process {process.name} does not know")
    if len(set(columns)) < len(columns):
        raise InvalidInput("a column is there twice")
    if missing := [column for column in ("part", "disposition") if column not in columns]:
        raise InvalidInput(f"the column {missing[0]} is missing; the names of the columns stand in the first row")
