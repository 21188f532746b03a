"""While the database is away every call says so and may be repeated; when it is back all goes on."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError


@pytest.fixture
def away(line):
    """Call it to take the line's database away, and again to bring it back."""
    gone = False

    def refuse(*_: object) -> None:
        if gone:
            raise OperationalError("statement", {}, sqlite3.OperationalError("it is away"))

    event.listen(line.context.database.engine, "before_cursor_execute", refuse)

    def turn() -> None:
        nonlocal gone
        gone = not gone

    return turn


def test_every_call_is_answered_by_503_and_a_part_is_taken_once_it_is_back(line, away):
    away()
    for told in (line.get("/inspections"), line.send(line.picture(), trigger_id="T-1")):
        assert (told.status_code, told.headers["retry-after"]) == (503, "1")
        assert told.json()["error"]["message"] == "the database does not answer; try again in a moment"
    away()
    assert line.send(line.picture(), trigger_id="T-1").status_code == 201
