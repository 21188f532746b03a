"""An installation's rows from one database to another, SQLite or PostgreSQL, whole or not at all, and compared.

Each row is read, written and read again there; what both sides hold is compared by a sum of hashes, which does not
depend on the order in which a database gives its rows. What follows from other rows (sums of days) is left out, and
made anew there. Pictures, models and Label Studio's data stay in QC_HOME.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, MetaData, Table, func, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from qc.errors import Conflict, Unavailable
from server import audit_check, schema
from server.db import Database

BATCH = 1000
"""Rows that are written at once."""

Say = Callable[[str], None]


def move(source: Database, target: Database, *, say: Say = lambda text: None) -> dict[str, int]:
    """Copy every row of the product's tables, as of one moment, into an empty database; the source stays as it is.

    What a server writes meanwhile is not there: for an installation that goes on in the target, none may run.

    Args:
        source: where the rows are; brought up to date first.
        target: where they go; its tables are made.
        say: told how far it is.

    Returns:
        How many rows each table has.

    Raises:
        Conflict: there are rows in the target already, what was written is not what was read, or the audit trail does
            not verify there. Nothing is kept in the target then.
        Unavailable: a database does not answer.
    """
    try:
        schema.upgrade(source)
        schema.upgrade(target)
        with _as_of_now(source) as reading, target.write_connection() as writing, writing.begin():
            tables = schema.all_tables()
            _refuse_rows(writing, tables)
            moved = {}
            own = [table for table in tables.sorted_tables if not table.info.get("derived")]
            for table in own:
                say(table.name)
                moved[table.name] = _copy(reading, writing, table)
            for table in own:
                say(f"comparing {table.name}")
                if _sum(reading, table) != _sum(writing, table):
                    raise Conflict(f"what arrived in {table.name} is not what was sent; nothing was moved")
            _count_on(writing, tables)
            with Session(writing) as session:
                audit_check.verify(session)
        return moved
    except DBAPIError as error:
        raise Unavailable(f"a database does not answer or refuses: {error.orig}; nothing was moved") from error


def check_empty(target: Database) -> None:
    """Raises Conflict where there are rows in it, Unavailable where it does not answer; tables are made."""
    try:
        schema.upgrade(target)
        with target.engine.connect() as connection:
            _refuse_rows(connection, schema.all_tables())
    except DBAPIError as error:
        raise Unavailable(f"a database does not answer or refuses: {error.orig}; nothing was moved") from error


def _as_of_now(source: Database) -> Connection:
    """A connection that sees one state from its first look to its last."""
    connection = source.engine.connect()
    if source.dialect == "postgresql":
        connection = connection.execution_options(isolation_level="REPEATABLE READ")
    return connection


def _refuse_rows(writing: Connection, tables: MetaData) -> None:
    for table in tables.sorted_tables:
        if writing.scalar(select(func.count()).select_from(table)):
            raise Conflict(f"the target has rows already (table {table.name}); name an empty database")


def _copy(reading: Connection, writing: Connection, table: Table) -> int:
    count = 0
    for batch in _rows(reading, table).partitions(BATCH):
        writing.execute(insert(table), [dict(row) for row in batch])
        count += len(batch)
    return count


def _rows(connection: Connection, table: Table) -> Any:
    """All rows as mappings, a batch in memory at a time, in the order of their keys: who is referred to comes first."""
    wanted = select(table).order_by(*table.primary_key.columns)
    return connection.execute(wanted, execution_options={"yield_per": BATCH}).mappings()


def _sum(connection: Connection, table: Table) -> tuple[int, int]:
    """How many rows, and the sum of their hashes."""
    count = total = 0
    for row in _each(connection, table):
        told = json.dumps([_plain(value) for value in row.values()], sort_keys=True, separators=(",", ":"))
        total += int.from_bytes(hashlib.sha256(told.encode()).digest(), "big")
        count += 1
    return count, total % (1 << 256)


def _each(connection: Connection, table: Table) -> Iterator[Any]:
    for batch in _rows(connection, table).partitions(BATCH):
        yield from batch


def _plain(value: Any) -> Any:
    """A value as JSON holds it, the same from every database."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return value


def _count_on(writing: Connection, tables: MetaData) -> None:
    """PostgreSQL: numbers that the database gives go on after the highest there is."""
    if writing.dialect.name != "postgresql":
        return
    for table in tables.sorted_tables:
        for column in table.columns:
            asked = {"table": table.name, "column": column.name}
            sequence = writing.scalar(text("SELECT pg_get_serial_sequence(:table, :column)"), asked)
            highest = writing.scalar(select(func.max(column))) if sequence else None
            if highest is not None:
                writing.execute(text("SELECT setval(:sequence, :highest)"), {"sequence": sequence, "highest": highest})
