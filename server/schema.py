"""The tables of the whole product, brought up to date at start by the migrations, in one transaction."""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text
from sqlmodel import SQLModel

from qc.errors import Conflict, InvalidInput
from server.db import Database, sqlite_url
from server.settings import Settings

RECORDS = (
    "qc.records",
    "labeling.records",
    "labeling.book_records",
    "segmentation.records",
    "process_opt.records",
    "server.records",
    "server.servers_records",
    "server.oidc_records",
    "server.watch_records",
    "server.word_records",
    "server.money_records",
    "server.golden_records",
    "server.gate_records",
    "server.features_records",
    "server.outbound.records",
    "server.audit",
    "server.jobs.records",
)
"""Every module that declares tables."""

MIGRATIONS = Path(__file__).parent / "migrations"

_LOCK = 7_153_520
"""Any number that nobody else uses for an advisory lock in this database."""


def all_tables() -> MetaData:
    """The metadata with every table of the product declared in it."""
    for name in RECORDS:
        importlib.import_module(name)
    return SQLModel.metadata


def upgrade(database: Database) -> None:
    """Bring the database's tables up to date; quick when they are. Two processes at once wait for each other.

    Raises:
        Conflict: the database was made by a newer version of the product.
    """
    with database.engine.connect() as connection:
        if _is_current(connection):
            return
    with _migrating(database) as connection:
        if not _is_current(connection):
            command.upgrade(_config(connection), "head")


def move_to(database: Database, step: str) -> None:
    """Bring the tables to one step of the migrations, forwards or back; what later steps added is lost on the way back.

    For a test of them, and for a way back that keeps what was stored since the upgrade; the other way back is a backup.

    Args:
        step: number of a migration, such as `0007`.

    Raises:
        InvalidInput: there is no such step. Conflict: the database was made by a newer version of the product.
    """
    steps = [one.revision for one in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]
    if step not in steps:
        raise InvalidInput(f"there is no step {step}; there are {steps[0]} to {steps[-1]}")
    with _migrating(database) as connection:
        _is_current(connection)
        now = MigrationContext.configure(connection).get_current_revision()
        back = now is not None and steps.index(now) > steps.index(step)
        (command.downgrade if back else command.upgrade)(_config(connection), step)


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The database of an installation, brought up to date: for a command beside a running server, or without one."""
    database = Database(settings.db_url)
    try:
        upgrade(database)
        yield database
    finally:
        database.close()


@contextmanager
def _migrating(database: Database) -> Iterator[Connection]:
    """A transaction in which tables may be made anew; nobody else migrates meanwhile.

    SQLite cannot change every column in place: the table is copied and the old one dropped, which rows of others refer
    to. So references are not looked at until all is done, and then all of them at once.
    """
    sqlite = database.dialect == "sqlite"
    with database.write_connection() as connection:
        try:
            if sqlite:
                _references(connection, "OFF")
            with connection.begin():
                if not sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _LOCK})
                yield connection
                if sqlite and (lost := connection.execute(text("PRAGMA foreign_key_check")).first()):
                    raise Conflict(f"a row of {lost[0]} refers to one of {lost[2]} that is missing; restore a backup")
        finally:
            if sqlite:
                _references(connection, "ON")


def _references(connection: Connection, state: str) -> None:
    """Whether SQLite looks at references; outside of a transaction, where alone it may be changed."""
    raw = connection.connection.dbapi_connection
    assert raw is not None
    raw.cursor().execute(f"PRAGMA foreign_keys = {state}")


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _is_current(connection: Connection) -> bool:
    script = ScriptDirectory.from_config(_config())
    now, head = MigrationContext.configure(connection).get_current_revision(), script.get_current_head()
    if now is not None and now not in {step.revision for step in script.walk_revisions()}:
        raise Conflict(f"the database is at step {now}, which this version does not know; run the newer version again")
    return now == head


def write_next(message: str, number: str) -> None:
    """Write the migration from the database as the migrations make it to the tables as the code declares them."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(sqlite_url(Path(folder) / "empty.sqlite3"))
        with database.write_connection() as connection, connection.begin():
            command.upgrade(_config(connection), "head")
            command.revision(_config(connection), message=message, rev_id=number, autogenerate=True)
        database.close()


if __name__ == "__main__":
    write_next(sys.argv[1], sys.argv[2])
