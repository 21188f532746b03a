"""The migrations make the tables that the code declares, on every database."""

from __future__ import annotations

import threading

import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from qc.errors import Conflict
from server import schema
from server.db import Database, sqlite_url


@pytest.fixture
def database(database_url):
    """An empty database."""
    database = Database(database_url)
    yield database
    database.close()


def test_the_migrated_tables_are_the_declared_ones(database):
    schema.upgrade(database)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.all_tables()) == []


def test_upgrading_again_changes_nothing(database):
    schema.upgrade(database)
    before = sorted(inspect(database.engine).get_table_names())
    schema.upgrade(database)
    assert sorted(inspect(database.engine).get_table_names()) == before


def test_whoever_meets_another_at_a_fresh_file_waits_for_it(tmp_path):
    problems = []

    def meet(url: str, gate: threading.Barrier) -> None:
        mine = Database(url)
        gate.wait()
        try:
            with mine.write_connection() as connection, connection.begin():
                connection.execute(text("CREATE TABLE IF NOT EXISTS met (who INTEGER)"))
        except Exception as error:
            problems.append(error)
        finally:
            mine.close()

    for number in range(100):  # some met in the middle of it, and were refused
        url, gate = sqlite_url(tmp_path / f"{number}.sqlite3"), threading.Barrier(6)
        threads = [threading.Thread(target=meet, args=(url, gate)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert problems == []


def test_two_processes_that_start_together_do_not_disturb_each_other(database):
    problems = []

    def start() -> None:
        other = Database(database.url)
        try:
            schema.upgrade(other)
        except Exception as error:
            problems.append(error)
        finally:
            other.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_a_migration_that_fails_in_the_middle_leaves_nothing_behind(database, monkeypatch):
    made = []

    def create_table(name, *columns, **options):
        made.append(name)
        if len(made) == 5:
            raise RuntimeError("the power went")
        return honest(name, *columns, **options)

    honest = op.create_table
    monkeypatch.setattr(op, "create_table", create_table)
    with pytest.raises(RuntimeError, match="the power went"):
        schema.upgrade(database)
    assert inspect(database.engine).get_table_names() == []


def test_a_database_of_a_newer_version_is_left_alone(database):
    schema.upgrade(database)
    with database.write_connection() as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match="9999"):
        schema.upgrade(database)
