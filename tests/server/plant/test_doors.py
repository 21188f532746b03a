"""Who comes in over OPC UA, and that nobody waits for the database meanwhile."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import timedelta

import pytest
import structlog

from server import auth
from server.access import Role
from server.clock import now
from server.plant import doors


@pytest.fixture
def keys(context):
    """A key of each role that matters here."""
    with context.database.write() as session:
        made = {
            role: auth.create_key(session, f"the {role}", role, now=now())
            for role in (Role.MACHINE, Role.ADMIN, Role.LABELLER)
        }
        made["ended"] = auth.create_key(session, "the old one", Role.MACHINE, now=now() - timedelta(days=2), days=1)
        session.commit()
    return made


@pytest.fixture
def door(context, keys, monkeypatch):
    monkeypatch.setattr(doors, "LOOK_S", 0.02)
    one = doors.Doors(context)
    yield one
    one.stop()


def wait_until(true) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_whoever_is_refused_stands_in_the_log_with_the_reason(door, keys):
    assert [door.get_user(None, "plc", keys[role]).name for role in (Role.MACHINE, Role.ADMIN)] == [
        "the machine",
        "the admin",
    ]
    with structlog.testing.capture_logs() as logs:
        for key in (keys[Role.LABELLER], keys["ended"], "qc_wrong", "", None):
            assert door.get_user(None, "plc", key) is None
    assert [(one["event"], one["name"], one["key"]) for one in logs] == [
        ("refused over OPC UA", "plc", name) for name in ("the labeller", "the old one", None, None, None)
    ]
    assert "role labeller" in logs[0]["problem"]
    assert "ended on" in logs[1]["problem"]
    assert not [key for key in keys.values() if key in str(logs)]


def test_a_database_that_is_away_holds_up_nobody(door, keys, context, monkeypatch):
    threads = set()

    @contextmanager
    def away():
        threads.add(threading.current_thread())
        raise ConnectionError("the database is away")
        yield

    monkeypatch.setattr(context.database, "read", away)
    wait_until(lambda: threads)
    assert door.get_user(None, "plc", keys[Role.MACHINE]) is not None
    assert door.get_user(None, "plc", "qc_wrong") is None
    assert threading.current_thread() not in threads, "who asks is the event loop of all clients"


def test_a_key_counts_as_soon_as_it_is_made_and_until_it_is_revoked(door, keys, context):
    with context.database.write() as session:
        new = auth.create_key(session, "press", Role.MACHINE, now=now())
        auth.revoke_keys(session, "the machine", now=now())
        session.commit()
    wait_until(lambda: door.get_user(None, "plc", new))
    wait_until(lambda: door.get_user(None, "plc", keys[Role.MACHINE]) is None)
