"""Two real server processes on one real PostgreSQL, with pictures in a folder that both reach."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_processes import Running, picture, running, until
from sqlalchemy import text
from sqlmodel import col, func, select

from qc.records import Exposure, Inspection
from server import audit_check, erasure, schema
from server.clock import now
from server.db import Database
from server.events import EventBus
from server.events_across import Across
from server.home_id import home_id
from server.jobs.records import Job
from server.outbound.records import OutboundDelivery

sys.path.insert(0, str(Path(__file__).parents[1] / "server" / "outbound"))
from webhook_receiver import Receiver


@pytest.fixture(scope="module")
def database(new_postgres) -> Iterator[Database]:
    found = Database(new_postgres())
    schema.upgrade(found)
    yield found
    found.close()


@pytest.fixture(scope="module")
def mes(tmp_path_factory) -> Iterator[Receiver]:
    """Is told of every inspection, by either server."""
    found = Receiver(tmp_path_factory.mktemp("mes"))
    found.comes()
    yield found
    found.goes()


@pytest.fixture(scope="module")
def one(database, mes, tmp_path_factory) -> Iterator[Running]:
    """Judges at once."""
    folder = tmp_path_factory.mktemp("one")
    mes.is_named_in(folder / "home", tell=["inspection"], timeout_s=60)
    with running(folder / "home", database, folder / "blobs", 0.0) as found:
        yield found


@pytest.fixture(scope="module")
def other(one, mes, database) -> Iterator[Running]:
    """Takes ten minutes for a part, once it has judged none; shares the pictures of the first."""
    mes.is_named_in(one.home.with_name("other"), tell=["inspection"], timeout_s=60)
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


def test_both_tell_an_address_and_it_hears_each_message_once_and_in_order(one, other, mes, database):
    def waiting() -> int:
        with database.read() as session:
            return session.exec(select(func.count()).select_from(OutboundDelivery)).one()

    until(lambda: waiting() == 0)
    mes.forgets()
    mes.behaves(answers=1)  # whoever tells it the second one holds on to it, while the other hears of all of them
    parts = [f"P-told-{n}" for n in range(4)]
    heard = other.component("events")["heard"]
    for n, part in enumerate(parts):
        assert one.send(part, mark=20 + n).status_code == 201
    until(lambda: len(mes.received) >= 2 and other.component("events")["heard"] >= heard + len(parts))
    mes.behaves()
    until(lambda: waiting() == 0)
    assert [told["body"]["data"]["part"] for told in mes.received] == parts


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
    other.begins_to_send("P-lost", mark=3, trigger_id="T-1")

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
