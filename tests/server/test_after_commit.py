"""What follows a commit follows that commit alone: no savepoint's end, nothing that was rolled back, and once."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from server.db import Database, after_commit, last_of_all, sqlite_url
from server.events import EventBus


@pytest.fixture
def database(tmp_path):
    database = Database(sqlite_url(tmp_path / "qc.sqlite"))
    yield database
    database.close()


def test_functions_are_called_in_order_once_the_outermost_transaction_is_committed(database):
    called = []
    with database.write() as session:
        session.execute(text("CREATE TABLE t (n INTEGER)"))
        after_commit(session, lambda: called.append("first"))
        with session.begin_nested():
            after_commit(session, lambda: called.append("second"))
            session.execute(text("INSERT INTO t VALUES (1)"))
        assert called == []
        session.commit()
        assert called == ["first", "second"]
        session.execute(text("INSERT INTO t VALUES (2)"))
        session.commit()
    assert called == ["first", "second"]


def test_what_is_rolled_back_calls_nothing_though_a_later_commit_follows(database):
    called = []
    with database.write() as session:
        session.execute(text("CREATE TABLE t (n INTEGER)"))
        after_commit(session, lambda: called.append("undone"))
        session.rollback()
        session.execute(text("CREATE TABLE t (n INTEGER)"))
        session.commit()
    assert called == []


def test_an_event_waits_for_the_commit_around_its_savepoint(database):
    bus, heard = EventBus(), []
    bus.call("outcome", lambda event: heard.append(event.data["id"]))
    with database.write() as session:
        session.execute(text("CREATE TABLE t (n INTEGER)"))
        with session.begin_nested():
            bus.on_commit(session, "outcome", {"id": "done"})
            session.execute(text("INSERT INTO t VALUES (1)"))
        assert heard == []
        session.commit()
    assert heard == ["done"]


def test_what_a_savepoint_undid_is_forgotten_and_what_came_before_it_is_told(database):
    bus, heard = EventBus(), []
    bus.call("outcome", lambda event: heard.append(event.data["id"]))
    with database.write() as session:
        session.execute(text("CREATE TABLE t (n INTEGER)"))
        bus.on_commit(session, "outcome", {"id": "before"})
        savepoint = session.begin_nested()
        bus.on_commit(session, "outcome", {"id": "undone"})
        with session.begin_nested():
            bus.on_commit(session, "outcome", {"id": "undone with it"})
        savepoint.rollback()
        bus.on_commit(session, "outcome", {"id": "after"})
        assert heard == []
        session.commit()
    assert heard == ["before", "after"]


def test_what_is_last_of_all_comes_after_every_row_and_before_the_commit(database):
    done = []
    with database.write() as session:
        session.execute(text("CREATE TABLE job (id INTEGER PRIMARY KEY)"))
        last_of_all(session, lambda: done.append(session.scalar(text("SELECT count(*) FROM job"))))
        after_commit(session, lambda: done.append("committed"))
        savepoint = session.begin_nested()
        last_of_all(session, lambda: done.append("undone"))
        savepoint.rollback()
        session.begin_nested()
        last_of_all(session, lambda: done.append("second"))
        session.execute(text("INSERT INTO job VALUES (1)"))
        assert done == []
        session.commit()  # with a savepoint that nobody ended
        assert done == [1, "second", "committed"]
        session.commit()
        last_of_all(session, lambda: done.append("rolled back"))
        session.rollback()
        last_of_all(session, lambda: done.append("closed"))
        session.close()
        session.execute(text("INSERT INTO job VALUES (2)"))
        session.commit()
    assert done == [1, "second", "committed"]
