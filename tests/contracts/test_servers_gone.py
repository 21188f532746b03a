"""A server that is gone for good is forgotten: nobody waits for what only it could do, and the trail says so."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import select
from starlette.testclient import TestClient

from qc.records import Exposure, Inspection, Progress
from server import audit, audit_check, schema, servers_gone
from server.app import create_app
from server.audit import AuditEntry
from server.clock import now
from server.context import Context
from server.db import Database
from server.home_id import home_id
from server.jobs import queue
from server.jobs.records import Job, JobState
from server.servers_records import ServerHome
from server.settings import Settings

A_SECOND = 1 / 86400
"""In days."""


class Blind:
    """Is never asked: these parts have no picture."""

    model_id, classes, threshold, edge = "sha256:blind", {1: "pit"}, 0.5, 0.5


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not there():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def database(postgres_url) -> Iterator[Database]:
    found = Database(postgres_url)
    schema.upgrade(found)
    yield found
    found.close()


@contextmanager
def server(home: Path, database: Database, **settings: object) -> Iterator[tuple[Context, Callable[[], dict]]]:
    """A server that lives, and what its /health says of the others."""
    home.mkdir(exist_ok=True)
    chosen = Settings(home=home, database_url=database.url, label_studio=False, take_over_s=2, **settings)
    app = create_app(chosen, segmenter=Blind())
    with TestClient(app) as client:
        yield app.state.context, lambda: client.get("/api/v1/health").json()["components"]["servers"]


def left_by(session, home: str) -> tuple[Inspection, Job]:
    """A part whose picture lies on that server's disk only, and an erasure that its disk has not heard of."""
    part = Inspection(part="P-far", station="S", keeper=home, received_at=now())
    session.add(part)
    session.flush()
    picture = {"name": "a.png", "format": "png", "width": 1, "height": 1, "view": ""}
    session.add(Exposure(inspection_id=part.id, n=0, sha256="0" * 64, original_key="originals/far.png", **picture))
    told = {"part": "P-erased", "inspections": [], "keys": [], "hashes": [], "models": []}
    return part, queue.enqueue(session, "erase_here", told, now=now(), home=home)


def entries(database: Database, home: str) -> list[tuple[str, dict]]:
    about = select(AuditEntry).where(
        AuditEntry.subject == home, AuditEntry.kind.in_(("server forgotten", "server back"))
    )
    with database.read() as session:
        return [(row.kind, json.loads(row.body)) for row in session.exec(about.order_by(AuditEntry.n))]


def test_who_was_silent_for_too_long_is_forgotten_and_says_so_should_it_come_back(database, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    lost = home_id(gone)
    with database.write() as session:
        part, job = left_by(session, lost)
        session.add(ServerHome(home=lost, address="http://gone:8000", seen_at=now() - timedelta(days=40)))
        session.commit()
    with server(tmp_path / "one", database, forget_server_days=A_SECOND) as (_, health):
        until(lambda: entries(database, lost) != [])
        until(lambda: health() == {"state": "ok", "others": 0, "taken_over": 0})
    with database.read() as session:
        assert session.get(ServerHome, lost) is None
        row = session.get_one(Inspection, part.id)
        assert (row.progress, str(row.verdict)) == (Progress.FAILED, "review")
        assert "http://gone:8000" in row.problem
        ended = session.get_one(Job, job.id)
        assert (ended.state, ended.arguments, ended.key) == (JobState.CANCELLED, {}, None)
        audit_check.verify(session)
    ((kind, told),) = entries(database, lost)
    assert (kind, told["address"], told["parts"]) == ("server forgotten", "http://gone:8000", 1)
    assert told["jobs"] == {"erase_here": 1}

    with database.write() as session:  # erased while it was no server of this plant
        audit.record(session, audit.ERASURE, "E-1", {"redacted": []}, by="eva", at=now())
        session.commit()
    with server(gone, database) as (context, health):
        told = health()
        assert (told["state"], "2 erasures have not reached its disk" in told["message"]) == ("degraded", True)
        with database.write() as session:  # and after a restart
            assert servers_gone.welcome(context, session, lost) == told["message"]
    assert entries(database, lost)[1:] == [("server back", {"erasures": 2})]


def test_who_begins_to_live_again_in_that_moment_is_not_forgotten_and_who_missed_nothing_is_welcome(database, tmp_path):
    with database.write() as session:
        session.add(ServerHome(home="H-2", address="http://two:8000", seen_at=now() - timedelta(days=29)))
        session.commit()
    with server(tmp_path / "one", database) as (context, _):
        assert not servers_gone.forget(context, "H-2", days=30)
        assert servers_gone.forget(context, "H-2", days=28)
        assert not servers_gone.forget(context, "H-2", days=28)
        assert [kind for kind, _ in entries(database, "H-2")] == ["server forgotten"]
        with database.write() as session:
            assert servers_gone.welcome(context, session, "H-2") == ""
            session.commit()
    assert entries(database, "H-2")[1:] == [("server back", {"erasures": 0})]
