"""What pages ask stays exact where it is not counted anew each time."""

from __future__ import annotations

import random
import sys
import time
from datetime import timedelta
from pathlib import Path

import per_home
import pytest
from sqlmodel import col, select

from qc.errors import NotFound
from qc.records import Inspection, Progress
from qc.verdict import Verdict
from server import erasure_scope, money_sums, process_batches, process_service, station_counts, station_days
from server.access import Role
from server.loose_scan import newest_of_each, values
from server.money_records import MoneyDay
from server.routes import audit as audit_pages

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
import many_inspections

ROW_A_PART = (
    *("inspection", "exposure", "cameralook", "decision", "labeltask", "annotation", "alarm", "auditentry"),
    *("shadowverdict", "feature", "recommendation", "outcome"),
)
"""Tables that grow with the parts."""
SCANS = tuple(f"SCAN {table}" for table in ROW_A_PART)
OF_FEW_ROWS = ("ix_inspection_received", "ix_labeltask_golden", "ix_labeltask_several", "ix_alarm_open")
"""Indexes that hold but what is looked for."""
AMONG_THE_NEWEST = ("first run",)
"""What looks for something that the newest rows have: a part with a verdict."""


def wait_for(true, *, patience=60):
    until = time.monotonic() + patience
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def counted(line) -> dict[str, tuple[int, int, int, int]]:
    return {
        one["name"]: (one["inspected"], one["ok"], one["review"], one["ng"]) for one in line.get("/stations").json()
    }


def test_stations_are_counted_exactly_before_and_after_a_day_and_an_erasure(line):
    line.send(line.picture(), part="P-1", station="a")
    line.send(line.picture(dark=9), part="P-2", station="a")
    line.send(line.picture(doubtful=9), part="P-3", station="b")
    assert counted(line) == {"a": (2, 1, 0, 1), "b": (1, 0, 1, 0)}
    with line.context.database.write() as session:  # two days later, and after a start
        for row in session.exec(select(Inspection)):
            row.received_at -= timedelta(days=2)
            session.add(row)
        session.commit()
    station_counts.forget(line.context.database.engine)
    assert counted(line) == {"a": (2, 1, 0, 1), "b": (1, 0, 1, 0)}
    line.send(line.picture(), part="P-4", station="b")
    assert counted(line) == {"a": (2, 1, 0, 1), "b": (2, 1, 1, 0)}
    asked = line.post("/erasures", Role.ADMIN, json={"part": "P-2", "reason": "the customer asked"}).json()
    wait_for(lambda: line.get(f"/jobs/{asked['id']}").json()["state"] not in ("waiting", "running"))
    assert counted(line) == {"a": (1, 1, 0, 0), "b": (2, 1, 1, 0)}


@pytest.fixture
def read_rows(monkeypatch) -> list[dict]:
    """Of which time inspections were counted row by row."""
    asked = []
    count = station_days.from_rows
    monkeypatch.setattr(station_days, "from_rows", lambda session, **of: asked.append(of) or count(session, **of))
    return asked


def test_what_is_closed_is_counted_once(line, read_rows):
    line.send(line.picture(), part="P-1", station="a")
    later, hour = line.context.now() + timedelta(days=2), timedelta(hours=1)
    with line.context.database.read() as session:
        told = [station_counts.counts(session, now=now) for now in (later, later, later + hour)]
    assert told == [{("a", Verdict.OK): 1}] * 3
    closed = later - station_counts.CLOSED_AFTER
    rest = {"begin": closed}
    first = {"product": "default", "begin": None, "before": closed}
    assert read_rows == [first, rest, rest, {"begin": closed, "before": closed + hour}, {"begin": closed + hour}]


def test_days_that_are_kept_are_not_counted_again_after_a_start_or_an_erasure(line, read_rows):
    database, now = line.context.database, line.context.now()
    for n, station in enumerate("aab"):
        line.send(line.picture(dark=9 * (n == 1)), part=f"P-{n}", station=station)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    with database.write() as session:  # each on a day of its own, all of which are over
        for days, row in enumerate(session.exec(select(Inspection).order_by(col(Inspection.id))), 2):
            row.received_at = midnight - timedelta(days=days, hours=-1)
            session.add(row)
        session.commit()
    assert len(list(money_sums.keep(database, now=now))) == 3
    with database.read() as session:
        assert {row.stations == [["a", "ng", 1]] for row in session.exec(select(MoneyDay))} == {True, False}

    def counts() -> dict:
        station_counts.forget(database.engine)  # as after a start
        read_rows.clear()
        with database.read() as session:
            return station_counts.counts(session, now=now)

    before = {"product": "default", "begin": None, "before": midnight - timedelta(days=4)}
    rest = {"product": "default", "begin": midnight - timedelta(days=1), "before": now - station_counts.CLOSED_AFTER}
    lately = {"begin": now - station_counts.CLOSED_AFTER}
    assert counts() == {("a", Verdict.OK): 1, ("a", Verdict.NG): 1, ("b", Verdict.OK): 1}
    assert read_rows == [before, rest, lately]
    asked = line.post("/erasures", Role.ADMIN, json={"part": "P-1", "reason": "the customer asked"}).json()
    wait_for(lambda: line.get(f"/jobs/{asked['id']}").json()["state"] not in ("waiting", "running"))
    that_day = {"begin": midnight - timedelta(days=3), "before": midnight - timedelta(days=2)}
    assert counts() == {("a", Verdict.OK): 1, ("b", Verdict.OK): 1}
    assert read_rows == [before, {"product": "default", **that_day}, rest, lately]
    assert len(list(money_sums.keep(database, now=now))) == 1
    assert counts() == {("a", Verdict.OK): 1, ("b", Verdict.OK): 1}
    assert read_rows == [before, rest, lately]


@pytest.mark.skipif(per_home.ON_POSTGRESQL, reason="its plans follow from how many rows there are")
def test_no_page_reads_every_part(line, monkeypatch):
    monkeypatch.setattr(audit_pages, "LOOKS", 2)  # as of a trail that is longer than a page
    ids = [line.send(line.picture(dark=4, mark=n), part=f"P-{n}", station="station-00").json()["id"] for n in range(2)]
    engine = line.context.database.engine
    for name, address in many_inspections.queries(2, random.Random(0), ids, ids, ["B-1"]).items():
        with many_inspections.statements(engine) as asked:
            assert line.get(address(), Role.ADMIN).status_code in (200, 404, 409), name  # some have nothing to show
        for sql, given in asked:
            with engine.connect() as connection:
                plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given)]
            # the newest rows, until the page is full
            page = "LIMIT" in sql and "TEMP" not in "".join(plan) and ("WHERE" not in sql or name in AMONG_THE_NEWEST)
            reads_all = [step for step in plan if step.startswith("SCAN") and step.split()[1] in ROW_A_PART]
            assert page or all(step.endswith(OF_FEW_ROWS) for step in reads_all), (name, sql, plan)


@pytest.mark.skipif(per_home.ON_POSTGRESQL, reason="its plans follow from how many rows there are")
def test_advice_about_a_batch_and_of_a_kind_is_found_by_its_index(database):
    with many_inspections.statements(database.engine) as asked, database.read() as session:
        process_service.history(session, "bar", decision="scrap", cursor=None, limit=5)
        with pytest.raises(NotFound):
            process_batches.known(session, "bar", "B-1", model=None)
        with pytest.raises(NotFound):
            erasure_scope.of_batch(session, "B-1")
    used = set[str]()
    with database.engine.connect() as connection:
        for sql, given in asked:
            steps = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given)]
            assert not any(step.startswith(SCANS) for step in steps), (sql, steps)
            used |= {word for step in steps for word in step.split() if word.startswith("ix_")}
    assert used == {"ix_recommendation_decision", "ix_recommendation_batch", "ix_outcome_batch"}


def test_what_waits_for_its_verdict_is_not_closed(line):
    line.send(line.picture(), part="P-1", station="a")
    line.send(line.picture(mark=9), part="P-2", station="a")
    later = line.context.now() + timedelta(days=2)
    with line.context.database.write() as session:
        second = session.exec(select(Inspection).order_by(col(Inspection.id).desc())).first()
        verdict, second.verdict, second.progress = second.verdict, None, Progress.RECEIVED
        session.add(second)
        session.flush()
        assert station_counts.counts(session, now=later) == {("a", verdict): 1, ("a", None): 1}
        second.verdict, second.progress = verdict, Progress.DONE
        session.flush()
        assert station_counts.counts(session, now=later) == {("a", verdict): 2}


def test_values_are_found_from_one_to_the_next(line):
    for station in ("b", "a", "c", "a"):
        line.send(line.picture(), part=f"P-{station}", station=station)
    with line.context.database.read() as session:
        assert values(session, col(Inspection.station)) == ["a", "b", "c"]
        assert values(session, col(Inspection.trigger_id)) == []
        newest = newest_of_each(session, col(Inspection.station), col(Inspection.id))
        assert newest["a"] == max(session.exec(select(Inspection.id).where(Inspection.station == "a")))
        assert set(newest) == {"a", "b", "c"}


def test_since_a_moment_is_every_part_that_arrived_then_or_later(line):
    first = line.send(line.picture(), part="P-1").json()
    moment = line.send(line.picture(dark=9), part="P-2").json()["received_at"]
    line.send(line.picture(mark=9), part="P-3")

    def parts(**asked: str) -> list[str]:
        answer = line.get("/inspections", params=asked)
        assert answer.status_code == 200, answer.text
        return [one["part"] for one in answer.json()["items"]]

    assert parts(since=moment) == ["P-3", "P-2"]
    assert parts(since=moment, verdict="ng") == ["P-2"]
    assert parts(since="0001-01-01T00:00:00Z") == ["P-3", "P-2", "P-1"]
    assert parts(since="9999-12-31T23:59:59Z") == []
    with line.context.database.write() as session:  # the part came before the clock was set back
        row = session.get_one(Inspection, first["id"])
        row.received_at += timedelta(hours=5)
        session.add(row)
        session.commit()
    assert parts(since=moment) == ["P-3", "P-2", "P-1"]
