"""One suite, every database: SQLite always, PostgreSQL where its programs are installed."""

import sys
import uuid
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlmodel import SQLModel

from server.db import Database
from server.jobs import records  # noqa: F401  the table must be known before it is made

sys.path.insert(0, str(Path(__file__).parent))
from postgres_server import NotHere, postgres


@pytest.fixture(scope="session")
def new_postgres():
    """Gives the address of one more empty database of a real PostgreSQL; skips, saying so, where none is installed.

    Each test has its own: what a server of the test before has not ended yet writes on its own database.
    """
    try:
        with postgres("fsync=off") as url:
            yield lambda: new_database(url)
    except NotHere as why:
        pytest.skip(str(why))


def new_database(url: str) -> str:
    engine, name = create_engine(url, isolation_level="AUTOCOMMIT"), f"qc-{uuid.uuid4().hex}"
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def postgres_url(new_postgres):
    """The address of an empty PostgreSQL."""
    return new_postgres()


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
    SQLModel.metadata.create_all(database.engine, tables=tables)
    yield database.write
    database.close()
