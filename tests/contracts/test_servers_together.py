"""Two real server processes on one real PostgreSQL, with pictures in a folder that both reach."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from sqlalchemy import text
from sqlmodel import col, select

from qc.records import Exposure, Inspection
from server import audit_check, auth, erasure, schema
from server.access import Role
from server.clock import now
from server.db import Database
from server.events import EventBus
from server.events_across import Across
from server.home_id import home_id
from server.jobs.records import Job

SERVER = Path(__file__).parents[1] / "server" / "slow_server.py"


@dataclass
class Told:
    """What a page was told."""

    lines: list[str] = field(default_factory=list)

    def of(self, kind: str, word: str = "") -> bool:
        pairs = zip(["", *self.lines], self.lines, strict=False)
        return any(before == f"event: {kind}" and word in line for before, line in pairs)


@dataclass
class Running:
    """One of the servers."""

    process: subprocess.Popen[str]
    client: httpx.Client
    home: Path

    def send(self, part: str, mark: int = 0, **fields: str) -> httpx.Response:
        files = [("image", ("a.png", picture(mark), "image/png"))]
        return self.client.post("/inspections", data={"part": part, "station": "S", **fields}, files=files)

    def component(self, name: str) -> dict[str, Any]:
        return self.client.get("/health").json()["components"][name]

    def listens(self) -> Told:
        """Listens as a page does, from now on."""
        told, opened = Told(), threading.Event()

        def listen() -> None:
            try:
                with self.client.stream("GET", "/events", timeout=120) as stream:
                    for line in stream.iter_lines():
                        opened.set()
                        told.lines.append(line)
            except httpx.TransportError:  # at the end of a test the client is closed
                return
            told.lines.append("ended")

        threading.Thread(target=listen, daemon=True).start()
        assert opened.wait(60)
        return told


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 240
    while not there():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def picture(mark: int = 0) -> bytes:
    grey = np.full((60, 80), 180, np.uint8)
    grey[10:20, 10:20], grey[0, 0] = 20, mark
    return bytes(cv2.imencode(".png", grey)[1])


@pytest.fixture(scope="module")
def database(postgres_url) -> Iterator[Database]:
    found = Database(postgres_url)
    with found.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    schema.upgrade(found)
    yield found
    found.close()


@contextmanager
def running(home: Path, database: Database, blobs: Path, seconds: float) -> Iterator[Running]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("QC_")},
        "QC_HOME": str(home),
        "QC_DATABASE_URL": database.url,
        "QC_BLOBS": str(blobs),
        "QC_TAKE_OVER_S": "5",
        "PORT": "0",
        "QC_LABEL_STUDIO": "false",
        "QC_RETRAIN_CRON": "",
        "PYTHONPATH": str(SERVER.parents[2]),
    }
    home.mkdir()
    with (home.with_suffix(".log")).open("wb") as log:
        command = [sys.executable, str(SERVER), str(seconds)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        address = next(found[0] for line in process.stdout if (found := re.search(r"http://[\d.]+:\d+", line)))
        threading.Thread(target=process.stdout.read, daemon=True).start()
        with database.write() as session:
            key = auth.create_key(session, home.name, Role.ENGINEER, now=now())
            session.commit()
        with httpx.Client(
            base_url=f"{address}/api/v1", headers={"Authorization": f"Bearer {key}"}, timeout=60
        ) as client:
            until(lambda: client.get("/health").status_code == 200)
            yield Running(process, client, home)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def one(database, tmp_path_factory) -> Iterator[Running]:
    """Judges at once."""
    folder = tmp_path_factory.mktemp("one")
    with running(folder / "home", database, folder / "blobs", 0.0) as found:
        yield found


@pytest.fixture(scope="module")
def other(one, database) -> Iterator[Running]:
    """Takes ten minutes for a part, once it has judged none; shares the pictures of the first."""
    with running(one.home.with_name("other"), database, one.home.with_name("blobs"), 600.0) as found:
        yield found


def test_pages_of_one_server_hear_what_happens_at_the_other(one, other):
    told = other.listens()
    sent = one.send("P-1").json()
    assert sent["verdict"] == "ng"
    until(lambda: told.of("inspection", sent["id"]))
    one.client.post(f"/inspections/{sent['id']}/decision", json={"verdict": "ok", "reason": "a hair"})
    until(lambda: told.of("decision", sent["id"]))
    assert other.client.get(f"/inspections/{sent['id']}/images/0/original").content == picture()
    assert other.client.get(f"/inspections/{sent['id']}/images/0/mask.png").status_code == 200
    assert other.component("events")["heard"] >= 2


def test_an_event_too_long_for_one_notification_arrives_whole_and_one_rolled_back_never(one, database):
    told, bus = one.listens(), EventBus()
    across = Across(database, bus)
    try:
        words = "ä" * 9000
        bus.publish("recommendation", {"id": "R-1", "words": words})
        until(lambda: told.of("recommendation", json.dumps(words)))
        with database.write() as session:
            bus.on_commit(session, "alarm", {"id": "taken back"})
            session.rollback()
            bus.on_commit(session, "alarm", {"id": "kept"})
            session.commit()
        until(lambda: told.of("alarm", "kept"))
        assert not told.of("alarm", "taken back")
    finally:
        across.stop()


def test_when_the_database_was_away_the_pages_are_sent_to_ask_again(one, database):
    told = one.listens()
    with database.engine.begin() as connection:
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
    until(lambda: "ended" in told.lines)
    again = one.listens()
    across = Across(database, bus := EventBus())
    bus.publish("alarm", {"id": "A-9"})
    until(lambda: again.of("alarm", "A-9"))
    across.stop()
    assert one.component("events")["state"] == "ok"


def test_what_one_erases_goes_from_the_other_s_disk_too(one, other, database):
    sent = one.send("P-erased", mark=7).json()
    (sha256,) = [image["sha256"] for image in sent["images"]]
    assert other.client.get(f"/inspections/{sent['id']}/images/0/thumbnail.jpg").status_code == 200
    kept = [home / "cache" / sha256[:2] / sha256 for home in (one.home, other.home)]
    assert all(place.is_dir() for place in kept)
    with database.write() as session:
        erasure.ask(session, ["P-erased"], "a wish", by="eva", now=now())
        session.commit()
    until(lambda: not any(place.is_dir() for place in kept))
    with database.read() as session:
        jobs = list(session.exec(select(Job).where(Job.kind == "erase_here", col(Job.home).is_not(None))))
    assert "P-erased" not in str([job.arguments for job in jobs if job.state == "done"])


def test_a_dead_server_s_part_is_judged_by_the_other_and_its_trigger_waits_for_that(one, other, database):
    threading.Thread(target=lambda: lost(other), daemon=True).start()

    def taken() -> list[Inspection]:
        with database.read() as session:
            return list(session.exec(select(Inspection).where(Inspection.part == "P-lost")))

    until(lambda: len(taken()) == 1)
    assert taken()[0].keeper == home_id(other.home) != home_id(one.home)
    other.process.kill()
    again = one.send("P-lost", mark=3, trigger_id="T-1")
    assert (again.status_code, again.json()["verdict"], again.json()["id"]) == (200, "ng", taken()[0].id)
    assert taken()[0].keeper == home_id(one.home)
    assert one.component("servers")["taken_over"] == 1
    with database.read() as session:
        audit_check.verify(session)


def lost(server: Running) -> None:
    try:
        server.send("P-lost", mark=3, trigger_id="T-1")
    except httpx.TransportError:
        return


def test_a_dead_server_s_part_whose_picture_nobody_reaches_waits_for_it_and_that_is_said(one, other, database):
    with database.write() as session:
        row = Inspection(part="P-far", station="S", keeper=home_id(other.home), received_at=now())
        session.add(row)
        session.flush()
        picture_of = {"name": "a.png", "format": "png", "width": 1, "height": 1, "view": ""}
        session.add(
            Exposure(inspection_id=row.id, n=0, sha256="0" * 64, original_key="originals/far.png", **picture_of)
        )
        session.commit()
    until(lambda: one.component("servers")["state"] == "degraded")
    assert "1 parts of a server that is silent" in one.component("servers")["message"]
    with database.read() as session:
        assert session.get_one(Inspection, row.id).keeper == home_id(other.home)
