"""What a PLC was told is told once in the audit trail, also by a database that breaks off."""

from __future__ import annotations

import json
import shutil
import threading
import time
from contextlib import contextmanager
from unittest.mock import Mock

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, select

from server.audit import AuditEntry
from server.plant.config import StationConfig
from server.plant.handshake import Fault, Inputs, Reply, State
from server.plant.memory import Entry, keep, note, noted, remembered, told
from server.plant.sources import source_of
from server.plant.start import forget
from server.plant.station import Station
from server.plant.trail import AT_THE_END


@pytest.fixture
def station(context, tmp_path):
    wanted = {"decide_by_s": 30, "cameras": [{"folder": str(tmp_path)}], "modbus": {"port": 0}}
    config = StationConfig.model_validate(wanted)
    sources = [source_of(camera) for camera in config.cameras]
    one = Station("press", config, context, sources, memory=tmp_path / "press.json")
    yield one
    one.stop()


@contextmanager
def database_away():
    """Nothing can be written; `Session` is SQLAlchemy's."""

    def away(_session):
        raise OperationalError("COMMIT", {}, ConnectionError("the database is away"))

    event.listen(Session, "before_commit", away)
    try:
        yield
    finally:
        event.remove(Session, "before_commit", away)


def results(station: Station) -> list[tuple[list[int], str]]:
    mine = select(AuditEntry.body).where(AuditEntry.kind == "plc.result").order_by(AuditEntry.n)
    with station._context.database.read() as session:
        told = [json.loads(body) for body in session.exec(mine)]
    return [(one["triggers"], one["fault"]) for one in told]


def wait_until(true) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def trigger_too_early(station: Station, part: str = "") -> None:
    station.heard(Inputs(trigger=False, acknowledge=False, part=part))
    station.heard(Inputs(trigger=True, acknowledge=False, part=part))


def test_a_commit_that_was_done_though_the_connection_broke_off_is_not_repeated(station):
    broken = []

    def break_off(_session):
        if threading.current_thread().name == "plc-press-watch" and not broken:
            broken.append("the connection was lost after the commit")
            raise ConnectionError(broken[0])

    event.listen(Session, "after_commit", break_off)
    try:
        trigger_too_early(station)
        wait_until(lambda: broken)
    finally:
        event.remove(Session, "after_commit", break_off)
    assert station.shown().reply.fault == Fault.NOT_READY
    station.heard(Inputs(trigger=False, acknowledge=True))  # with the next thing that it hears it tries again
    station.heard(Inputs(trigger=False, acknowledge=False))
    wait_until(lambda: not station._trail.waiting)
    assert results(station) == [([1, 1], "not_ready")]


def test_what_was_told_while_the_database_was_away_survives_a_kill(station, tmp_path):
    memory, killed = tmp_path / "press.json", tmp_path / "killed" / "press.json"
    with database_away():
        trigger_too_early(station)
        wait_until(lambda: memory.with_suffix(".untold").exists() and station._trail.noted == 1)
        shutil.copytree(tmp_path, killed.parent, ignore=shutil.ignore_patterns("killed", "*.sqlite3*"))
    assert results(station) == []
    again = Station("press", station.config, station._context, [], memory=killed)
    wait_until(lambda: results(station) == [([1, 1], "not_ready")])
    wait_until(lambda: not killed.with_suffix(".untold").exists())
    again.stop()
    station.heard(Inputs(trigger=False, acknowledge=True))  # the one that lived on tells nothing twice
    wait_until(lambda: not station._trail.waiting)
    wait_until(lambda: not memory.with_suffix(".untold").exists())
    assert results(station) == [([1, 1], "not_ready")], "and neither does what is told again"


def test_a_number_that_could_not_be_written_down_is_used_up_where_its_result_was(station, tmp_path):
    """The disk was full for the one and had room for the other, and then the process was killed."""
    memory = tmp_path / "killed" / "press.json"
    memory.parent.mkdir()
    note(memory, [Entry("press", told("press", Reply(4, 4, "P-15", Fault.REFUSED)))])
    again = Station("press", station.config, station._context, [], memory=memory)
    assert again.shown().number == 4
    trigger_too_early(again)
    wait_until(lambda: results(again) == [([4, 4], "refused"), ([5, 5], "not_ready")])
    again.stop()


def test_a_station_that_stops_while_results_are_told_tells_each_once_and_leaves_the_rest_on_disk(station, tmp_path):
    memory = tmp_path / "stopped" / "press.json"
    memory.parent.mkdir()
    numbers = range(1, AT_THE_END + 100)
    note(memory, [Entry("press", told("press", Reply(n, n, f"P-{n}", Fault.REFUSED))) for n in numbers])
    begun, go_on = threading.Event(), threading.Event()

    def hold(_session):
        if threading.current_thread().name == "plc-press-watch" and not begun.is_set():
            begun.set()
            go_on.wait(30)

    event.listen(Session, "before_commit", hold)
    try:
        again = Station("press", station.config, station._context, [], memory=memory)
        assert begun.wait(30)
        telling, again._watch = again._watch, Mock()  # it is waited for no longer, as if that had taken seconds
        stopping = threading.Thread(target=again.stop)
        stopping.start()
        wait_until(lambda: again._watch.join.called)
        go_on.set()
        stopping.join(30)
        telling.join(30)
    finally:
        event.remove(Session, "before_commit", hold)
    assert len(results(again)) == AT_THE_END + 1
    once_more = Station("press", station.config, station._context, [], memory=memory)
    wait_until(lambda: not once_more._trail.waiting)
    once_more.stop()
    assert results(once_more) == [([n, n], "refused") for n in numbers]


def test_of_an_erased_part_neither_the_last_result_nor_what_waits_for_the_trail_names_it(station, tmp_path):
    memory = tmp_path / "press.json"
    files = (memory, memory.with_suffix(".untold"))
    with database_away():
        trigger_too_early(station, "Smith-4711")
        wait_until(lambda: files[1].exists() and station._trail.noted == 1)
        assert all("Smith-4711" in file.read_text() for file in files)
        station.forget("P-other")
        assert all("Smith-4711" in file.read_text() for file in files)
        station.forget("Smith-4711")
        assert not any("Smith-4711" in file.read_text() for file in files)
        assert station.shown().reply.part == ""
    station.heard(Inputs(trigger=False, acknowledge=True))
    wait_until(lambda: not station._trail.waiting)
    assert results(station) == [([1, 1], "not_ready")]


def test_nor_do_the_files_of_a_station_that_does_not_run(context):
    memory = context.settings.folder("plant") / "left.json"
    keep(memory, State(number=7, reply=Reply(7, 7, "Smith-4711", Fault.REFUSED)))
    note(memory, [Entry("left", told("left", Reply(7, 7, "Smith-4711", Fault.REFUSED)))])
    forget(context, "Smith-4711")
    assert not any("Smith-4711" in file.read_text() for file in memory.parent.iterdir())
    assert (remembered(memory).number, noted(memory)[0].body["triggers"]) == (7, [7, 7])
