"""A verdict is rehearsed before the first part comes: nothing of it is kept, and the first one meets nothing new."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import event
from sqlalchemy.engine.interfaces import CacheStats
from sqlmodel import SQLModel, func, select
from structlog.testing import capture_logs

from server.audit_check import verify
from server.rehearsing import NOWHERE, rehearse


def rows(line) -> dict[str, int]:
    """How many each table has; jobs and what a start notes come by themselves."""
    with line.context.database.read() as session:
        tables = [table for table in SQLModel.metadata.sorted_tables if table.name not in ("job", "schedule")]
        return {table.name: session.execute(select(func.count()).select_from(table)).scalar_one() for table in tables}


def met_first(line) -> list[str]:
    """Statements that worker threads ask for and that were not compiled before."""
    met: list[str] = []

    def asked(connection, cursor, statement, parameters, context, many) -> None:
        if threading.current_thread().name.startswith("inspect") and context.cache_hit is CacheStats.CACHE_MISS:
            met.append(statement)

    event.listen(line.context.database.engine, "before_cursor_execute", asked)
    return met


def test_nothing_is_left_of_a_rehearsal_and_nobody_is_told_of_it(line):
    told = []
    line.context.events.call("inspection", told.append)
    before = rows(line)
    rehearse(line.context, "S-1")
    assert rows(line) == before
    assert told == []
    with line.context.database.read() as session:
        verify(session)
    assert line.context.drift.state()["charts"] == 1, "those of the station itself"
    assert NOWHERE not in line.get("/stations").text


def test_the_first_verdict_asks_nothing_that_was_not_rehearsed(run_line, tmp_path):
    with run_line(tmp_path / "rehearsed", label_at_random=0.0) as line:
        rehearse(line.context, "S-1")
        met = met_first(line)
        assert line.send(line.picture()).json()["verdict"] == "ok"
        assert met == []
    with run_line(tmp_path / "unprepared", label_at_random=0.0) as line:
        met = met_first(line)
        line.send(line.picture())
        assert met, "or this test says nothing"


def test_a_database_that_is_away_is_logged_and_the_first_part_after_it_is_judged(line, away):
    away()
    with capture_logs() as logged:
        rehearse(line.context, "S-1")
    assert [(entry["event"], entry["station"]) for entry in logged] == [("a verdict could not be rehearsed", "S-1")]
    away()
    assert line.send(line.picture()).json()["verdict"] == "ok"


def test_an_error_that_a_verdict_would_meet_is_not_hidden(line, monkeypatch):
    monkeypatch.setattr("server.judging.in_short", lambda *_, **__: 1 / 0)
    before = rows(line)
    with pytest.raises(ZeroDivisionError):
        rehearse(line.context, "S-1")
    assert rows(line) == before
