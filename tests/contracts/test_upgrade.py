"""A database of each earlier version, with rows in every table, becomes today's and loses nothing; and back again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlmodel import SQLModel, select
from sqlmodel.sql.sqltypes import AutoString

from process_opt.records import Outcome, Recommendation
from qc.records import UtcDateTime
from server import schema
from server.db import Database

STEPS = [step.revision for step in ScriptDirectory(schema.MIGRATIONS).walk_revisions()][::-1]
ROWS = 2
"""Of each table: two, so that a constraint that was made too narrow shows."""

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
def database(database_url):
    """An empty database."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.mark.parametrize("earlier", STEPS[:-1])
def test_rows_of_an_earlier_version_are_all_there_after_the_upgrade_and_after_the_way_back(database, earlier):
    schema.move_to(database, earlier)
    then = tables(database)
    before = filled(database, then)
    assert before["inspection"]

    schema.upgrade(database)
    assert kept(database, then, before) == before
    with database.read() as session:  # and today's code can read each of them
        for mapper in SQLModel._sa_registry.mappers:
            expected = ROWS if mapper.local_table.name in before else 0
            assert len(session.exec(select(mapper.class_)).all()) == expected, mapper.class_

    schema.move_to(database, earlier)
    assert {*sa.inspect(database.engine).get_table_names()} == {*before, "alembic_version"}
    assert kept(database, then, before) == before
    schema.upgrade(database)
    assert kept(database, then, before) == before


def test_advice_and_outcomes_of_before_know_their_batch_and_what_was_decided(database):
    schema.move_to(database, "0022")
    now = datetime(2026, 1, 2, tzinfo=UTC)
    then, part = tables(database), {"process": "bar", "part": "P-1"}
    with database.write_connection() as connection, connection.begin():
        for id, batch in (("a", {"batch": "B-7"}), ("b", {"batch": None}), ("c", {})):
            said = {"request": batch, "answer": {"decision": "scrap"} if batch else {}, "at": "cut", "asked_at": now}
            connection.execute(then["recommendation"].insert().values(id=id, **part, **said))
        connection.execute(then["outcome"].insert().values(id="o", **part, content={"batch": "B-7"}, received_at=now))
    schema.upgrade(database)
    with database.read() as session:
        advice = session.exec(select(Recommendation).order_by(sa.column("id"))).all()
        assert [(row.batch, row.decision) for row in advice] == [("B-7", "scrap"), (None, "scrap"), (None, "")]
        assert session.exec(select(Outcome.batch)).all() == ["B-7"]


def tables(database: Database) -> dict[str, sa.Table]:
    """What lies in the database, in the order in which rows can be entered; types as the code declares them."""
    found, declared = sa.MetaData(), schema.all_tables().tables
    found.reflect(database.engine)
    for table in found.tables.values():
        for column in table.columns:
            own = declared[table.name].columns.get(column.name) if table.name in declared else None
            if own is not None and not isinstance(column.type, sa.Enum):
                column.type = own.type
    return {table.name: table for table in found.sorted_tables if table.name != "alembic_version"}


def filled(database: Database, tables: dict[str, sa.Table]) -> Rows:
    """Rows with a value in every column, entered into every table."""
    rows: Rows = {}
    with database.write_connection() as connection, connection.begin():
        for name, table in tables.items():
            rows[name] = []
            for n in range(ROWS):
                row = {column.name: value(column, n, rows) for column in table.columns}
                connection.execute(table.insert().values(row))
                rows[name].append(row)
    return rows


def value(column: sa.Column[Any], n: int, rows: Rows) -> Any:
    """Something for a column that differs from row to row where it may."""
    for key in column.foreign_keys:
        other = key.column
        return None if other.table is column.table else rows[other.table.name][n][other.name]
    kind = column.type
    if isinstance(kind, sa.Enum):
        return kind.enums[0] if kind.enum_class is None else next(iter(kind.enum_class))
    if isinstance(kind, UtcDateTime | sa.DateTime):
        return datetime(2026, 1, 2, 3, 4, 5, 678000, UTC) + timedelta(days=n)
    if isinstance(kind, sa.Boolean):
        return bool(n)
    if isinstance(kind, sa.JSON):
        return {"grün": [n, 0.1, None, "x"]}
    if isinstance(kind, sa.Integer):
        return 40 + n
    if isinstance(kind, sa.Float):
        return 0.1 + n
    if isinstance(kind, sa.LargeBinary):
        return bytes([n, 0, 255])
    assert isinstance(kind, sa.String | AutoString), (column, kind)
    return f"{column.name} {n} ü"


def kept(database: Database, then: dict[str, sa.Table], before: Rows) -> Rows:
    """The rows as they are now, by the columns that they had."""
    found = Rows()
    with database.engine.connect() as connection:
        for name in before:
            ordered = sa.select(then[name]).order_by(*then[name].primary_key.columns)
            found[name] = [dict(row) for row in connection.execute(ordered).mappings()]
    return found
