"""A station that stands is told to people, once, and that it takes parts again, also when the database was away."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError

from server import alarms
from server.plant import standing
from server.plant.standing import ALARM, Standing

GONE = "the camera 127.0.0.1: it is gone"


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(standing, "ALARM_AFTER_S", 0.0)


def told(context):
    with context.database.read() as session:
        return [(one.station, one.message, one.closed_at is None) for one in alarms.newest(session, kind=ALARM)]


def test_a_station_that_stands_is_told_once_and_that_it_takes_parts_again(context, at_once):
    station, other = Standing("brush-1", context), Standing("brush-2", context)
    for problem in (None, GONE, GONE, "the model is still being loaded"):
        station.look(problem)
        other.look(None)
    assert told(context) == [("brush-1", f"brush-1 takes no parts: {GONE}", True)]
    station.look(None)
    assert [open for _, _, open in told(context)] == [False]
    station.look(GONE)
    assert [open for _, _, open in told(context)] == [True, False], "the next time it stands is another alarm"


def test_what_a_camera_needs_to_come_back_calls_nobody(context):
    station = Standing("brush-1", context)
    station.look(GONE)
    station.look(None)
    assert told(context) == []


def test_what_was_open_at_the_stop_ends_when_the_station_takes_parts(context, at_once):
    Standing("brush-1", context).look(GONE)
    again = Standing("brush-1", context)
    again.look(GONE)
    assert [open for _, _, open in told(context)] == [True], "the same one"
    Standing("brush-1", context).look(None)
    assert [open for _, _, open in told(context)] == [False]


def test_what_a_database_that_is_away_does_not_take_is_told_when_it_is_back(context, at_once, monkeypatch):
    station = Standing("brush-1", context)

    def away():
        raise OperationalError("BEGIN", None, OSError("away"))

    with monkeypatch.context() as patched:
        patched.setattr(context.database, "write", away)
        station.look(GONE)
    assert told(context) == []
    station.look(GONE)
    assert [open for _, _, open in told(context)] == [True]
