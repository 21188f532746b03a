"""Pictures are kept for their time; what was said of them stays."""

from __future__ import annotations

import time
from datetime import timedelta

from sqlmodel import select

from qc.records import Exposure, Inspection
from server import audit_check, retention
from server.backup import backup
from server.jobs import queue


def sweep(line):
    with line.context.database.write() as session:
        asked = queue.enqueue(session, retention.KIND, now=line.context.now()).id
        session.commit()
    until = time.monotonic() + 30
    while line.get(f"/jobs/{asked}").json()["state"] != "done":
        assert time.monotonic() < until
        time.sleep(0.02)
    return line.get(f"/jobs/{asked}").json()["result"]


def grow_old(line, days):
    with line.context.database.write() as session:
        for row in session.exec(select(Inspection)):
            row.received_at -= timedelta(days=days)
            session.add(row)
        session.commit()


def status(line, told, what="original"):
    return line.get(f"/inspections/{told['id']}/images/0/{what}").status_code


def test_pictures_of_good_parts_go_first_and_their_verdicts_and_labelled_ones_stay(run_line, tmp_path):
    with run_line(tmp_path / "home", keep_ok_days=30, keep_ng_days=90) as line:
        good = line.send(line.picture(), part="P-good").json()
        bad = line.send(line.picture(dark=9), part="P-bad").json()
        doubtful = line.send(line.picture(doubtful=9), part="P-doubt").json()
        assert sweep(line) == {"pictures": 0}
        grow_old(line, 40)
        line.send(line.picture(mark=1), part="P-new")
        assert sweep(line) == {"pictures": 1}
        assert [status(line, told) for told in (good, bad, doubtful)] == [404, 200, 200]
        assert status(line, good, "overlay.png") == 404
        assert "kept" in line.get(f"/inspections/{good['id']}/images/0/original").json()["error"]["message"]
        assert line.get(f"/inspections/{good['id']}").json()["verdict"] == "ok"
        grow_old(line, 60)
        assert sweep(line)["pictures"] == 2
        assert [status(line, told) for told in (bad, doubtful)] == [404, 200], "somebody is asked to label it"
        with line.context.database.read() as session:
            audit_check.verify(session)
            kept = [key for key in session.exec(select(Exposure.original_key)) if key]
        originals = [file for file in (line.context.settings.home / "blobs/originals").rglob("*.png")]
        assert len(originals) == len(kept)
        made = backup(tmp_path / "home", line.context.settings.db_url, tmp_path / "backup", now=line.context.now())
        assert made.inspections == 4


def test_without_a_rule_everything_is_kept(line):
    told = line.send(line.picture()).json()
    grow_old(line, 10_000)
    assert sweep(line) == {"pictures": 0}
    assert status(line, told) == 200
