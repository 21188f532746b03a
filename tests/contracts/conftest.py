"""One suite, every database: SQLite always, PostgreSQL where its programs are installed."""

import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import SQLModel

from server.db import Database
from server.jobs import records  # noqa: F401  the table must be known before it is made

sys.path.insert(0, str(Path(__file__).parent))
from postgres_server import NotHere, postgres


@pytest.fixture(scope="session")
def postgres_url():
    """A real PostgreSQL server in a folder of its own; skips, saying so, where none is installed."""
    try:
        with postgres("fsync=off") as url:
            yield url
    except NotHere as why:
        pytest.skip(str(why))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'qc.sqlite'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def sessions(database_url):
    """Opens sessions on an empty database of the kind that is tested."""
    database = Database(database_url)
    tables = [SQLModel.metadata.tables["job"]]
    if database.dialect == "postgresql":  # one server for all tests: what others left goes first
        with database.engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    SQLModel.metadata.create_all(database.engine, tables=tables)
    yield database.write
    database.close()
