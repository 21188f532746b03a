"""Where the disk fills up, pictures of parts that passed go first and those of bad parts last, and it is said."""

from __future__ import annotations

import json
import time

import pytest
from sqlmodel import select

from server import room
from server.audit import AuditEntry
from server.jobs import queue


@pytest.fixture
def disk(monkeypatch):
    """A disk that holds so many originals: what is free is counted from the files that lie there."""
    holds = {"pictures": 100}

    def free(context):
        originals = (context.settings.home / "blobs/originals").rglob("*.png")
        return float(holds["pictures"] - sum(1 for _ in originals))

    monkeypatch.setattr(room, "free_gb", free)
    monkeypatch.setattr(room.retention, "BATCH", 1)
    return holds


def make_room(line):
    with line.context.database.write() as session:
        asked = queue.enqueue(session, room.KIND, now=line.context.now()).id
        session.commit()
    until = time.monotonic() + 60
    while line.get(f"/jobs/{asked}").json()["state"] != "done":
        assert time.monotonic() < until
        time.sleep(0.02)
    return line.get(f"/jobs/{asked}").json()["result"]["pictures"]


def shown(line, told):
    return line.get(f"/inspections/{told['id']}/images/0/original").status_code == 200


def alarms(line):
    return [a for a in line.get("/alarms").json()["items"] if a["kind"] == "disk"]


def test_the_oldest_good_parts_go_first_the_bad_ones_last_and_what_is_labelled_stays(run_line, tmp_path, disk):
    with run_line(tmp_path / "home", make_room_gb=10.0) as line:
        bad = [line.send(line.picture(dark=9, mark=n), part=f"P-bad{n}").json() for n in range(2)]
        good = [line.send(line.picture(mark=n), part=f"P-good{n}").json() for n in range(3)]
        asked = line.send(line.picture(doubtful=9), part="P-doubt").json()
        assert [t["verdict"] for t in (*bad, *good, asked)] == ["ng", "ng", "ok", "ok", "ok", "review"]
        disk["pictures"] = 6 + 11
        assert make_room(line) == {}
        assert alarms(line) == []

        disk["pictures"] = 4 + 11 - 2  # 7 free: 4 must go to have 11
        assert make_room(line) == {"ok": 3, "ng": 1}
        assert [shown(line, told) for told in good] == [False] * 3
        assert [shown(line, told) for told in bad] == [False, True], "the older one"
        assert shown(line, asked), "somebody is asked to label it"
        assert line.get(f"/inspections/{good[0]['id']}").json()["verdict"] == "ok"
        (alarm,) = alarms(line)
        assert "3 of ok parts, 1 of ng parts" in alarm["message"]
        with line.context.database.read() as session:
            (entry,) = session.exec(select(AuditEntry).where(AuditEntry.kind == room.KIND)).all()
        assert json.loads(entry.body)["pictures"] == {"ok": 3, "ng": 1}

        disk["pictures"] = 5
        assert make_room(line) == {"ng": 1}
        assert shown(line, asked)
        assert len(alarms(line)) == 1

        disk["pictures"] = 100
        assert make_room(line) == {}
        assert all(a["closed_at"] for a in alarms(line))


def test_pictures_do_not_pay_for_what_else_fills_the_disk(run_line, tmp_path, disk, monkeypatch):
    with run_line(tmp_path / "home", make_room_gb=10.0) as line:
        good = [line.send(line.picture(mark=n), part=f"P-{n}").json() for n in range(3)]
        monkeypatch.setattr(room, "free_gb", lambda context: 1.0)
        assert make_room(line) == {"ok": 1}
        assert [shown(line, told) for told in good] == [False, True, True]
        assert len(alarms(line)) == 1


def test_pictures_in_an_object_store_stay_as_they_make_no_room_here(run_line, tmp_path, disk, monkeypatch):
    with run_line(tmp_path / "home", make_room_gb=10.0) as line:
        told = line.send(line.picture(), part="P-1").json()
        monkeypatch.setattr(room, "is_remote", lambda place: True)
        disk["pictures"] = 1
        assert make_room(line) == {}
        assert shown(line, told)
        assert "make some before the line stops" in alarms(line)[0]["message"]


def test_without_the_setting_nothing_goes(run_line, tmp_path, disk):
    with run_line(tmp_path / "home") as line:
        told = line.send(line.picture(), part="P-1").json()
        disk["pictures"] = 1
        assert make_room(line) == {}
        assert shown(line, told)
