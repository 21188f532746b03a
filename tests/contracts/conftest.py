"""One suite, every database: SQLite always, PostgreSQL where its programs are installed."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import SQLModel

from server.db import Database
from server.jobs import records  # noqa: F401  the table must be known before it is made


def _postgres_programs() -> Path | None:
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return debian[-1] if debian else None


@pytest.fixture(scope="session")
def postgres_url():
    """A real PostgreSQL server in a folder of its own; skips, saying so, where none is installed."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    as_user = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no account postgres")
        as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not in pytest's own folder: a second run beside this one closes that to every account but its own.
    with tempfile.TemporaryDirectory(prefix="qc-postgres-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if as_user:
            os.chown(folder, as_user["user"], as_user["group"])
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **as_user}
        data, start = folder / "data", f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        subprocess.run([programs / "initdb", "-D", data, "-A", "trust", "-U", "qc"], **quiet)
        subprocess.run([programs / "pg_ctl", "-D", data, "-o", start, "-l", folder / "log", "-w", "start"], **quiet)
        try:
            yield f"postgresql+psycopg://qc@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"], **quiet)


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
