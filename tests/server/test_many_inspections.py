"""What pages ask stays exact where it is not counted anew each time."""

from __future__ import annotations

import time
from datetime import timedelta

from sqlmodel import col, select

from qc.records import Inspection, Progress
from server import station_counts
from server.access import Role
from server.loose_scan import newest_of_each, values


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
    with line.context.database.write() as session:  # two days later
        for row in session.exec(select(Inspection)):
            row.received_at -= timedelta(days=2)
            session.add(row)
        session.commit()
    assert counted(line) == {"a": (2, 1, 0, 1), "b": (1, 0, 1, 0)}
    line.send(line.picture(), part="P-4", station="b")
    assert counted(line) == {"a": (2, 1, 0, 1), "b": (2, 1, 1, 0)}
    asked = line.post("/erasures", Role.ADMIN, json={"part": "P-2", "reason": "the customer asked"}).json()
    wait_for(lambda: line.get(f"/jobs/{asked['id']}").json()["state"] not in ("waiting", "running"))
    assert counted(line) == {"a": (1, 1, 0, 0), "b": (2, 1, 1, 0)}


def test_what_is_closed_is_counted_once(line, monkeypatch):
    asked = []
    count = station_counts._count
    monkeypatch.setattr(station_counts, "_count", lambda *given: asked.append(given[1:]) or count(*given))
    line.send(line.picture(), part="P-1", station="a")
    later = line.context.now() + timedelta(days=2)
    with line.context.database.read() as session:
        first, second = (station_counts.counts(session, now=later) for _ in range(2))
        (newest,) = session.exec(select(Inspection.id))
    assert first == second
    assert asked == [("", newest), (newest, None), (newest, None)]


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
