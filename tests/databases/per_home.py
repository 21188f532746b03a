"""On which database the tests of this run work: SQLite in each data folder, as an installation begins, or with
QC_TEST_DATABASE=postgresql a real PostgreSQL with a database for each data folder."""

from __future__ import annotations

import atexit
import hashlib
import os
import sys
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from server.db import sqlite_url

ON_POSTGRESQL = os.environ.get("QC_TEST_DATABASE") == "postgresql"

EMPTY = "template1"
"""What PostgreSQL makes a new database like."""

_made: dict[str, str] = {}
"""Databases that were made for data folders, and like what."""


def setting(home: Path, template: str = EMPTY) -> str:
    """What a server of this data folder has to be told as QC_DATABASE_URL: nothing for SQLite; else the address of a
    database of the folder's own, made like `template` unless it is there, and not empty."""
    if not ON_POSTGRESQL:
        return ""
    name = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]
    if name not in _made or (_made[name] == EMPTY != template):
        create(name, template)
        _made[name] = template
    return named(name)


def environment(home: Path) -> dict[str, str]:
    """What a process that serves this data folder has to be told beside QC_HOME."""
    return {"QC_DATABASE_URL": setting(home)} if ON_POSTGRESQL else {}


def address_of(home: Path, template: str = EMPTY) -> str:
    """The address of a data folder's database, whichever it is."""
    return setting(home, template) or sqlite_url(home.resolve() / "qc.sqlite3")


def named(name: str) -> str:
    """The address of one of the databases of `postgresql()`."""
    return make_url(postgresql()).set(database=name).render_as_string(hide_password=False)


def create(name: str, template: str = EMPTY) -> None:
    """Make a database there anew."""
    engine = create_engine(postgresql(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    engine.dispose()


@cache
def postgresql() -> str:
    """A real PostgreSQL for all servers of this process, which ends with it."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))
    from postgres_server import postgres

    found = ExitStack()
    atexit.register(found.close)
    return found.enter_context(postgres("fsync=off", "max_connections=300"))
