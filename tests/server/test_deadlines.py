"""A line that does not wait gets its answer in time: late or failed is an error and not good, never a silent ok."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from sqlmodel import select

from qc.errors import InvalidInput
from qc.ports import Segmentation
from qc.records import Inspection, Progress
from server.audit import AuditEntry
from server.audit_check import verify
from server.orders import Order, Picture
from server.settings import Settings, read_settings


class Held:
    """Looks at a part for as long as a test wants."""

    model_id, classes, threshold = "sha256:held", {1: "pit"}, 0.5
    edge = 0.5

    def __init__(self):
        self.go, self.looks = threading.Event(), 0

    def segment(self, pixels):
        self.looks += 1
        assert self.go.wait(30)
        return Segmentation(np.full(pixels.shape[:2], -9, np.float16), np.ones(pixels.shape[:2], np.uint8))


def test_a_late_part_is_an_error_and_not_good_and_the_verdict_that_comes_later_changes_nothing(run_line, tmp_path):
    held = Held()
    with run_line(tmp_path, held, decide_by_s=0.3) as line:
        began = time.perf_counter()
        answer = line.send(line.picture(), part="P-late", trigger_id="T-1")
        assert time.perf_counter() - began < 20
        told = answer.json()
        assert answer.status_code == 201
        assert (told["verdict"], told["progress"]) == ("ng", "failed")
        assert "within 0.3 s" in told["problem"]
        assert told["elapsed_ms"] >= 300
        held.go.set()
        assert line.send(line.picture(mark=1), part="P-next").json()["part"] == "P-next"
        assert line.get(f"/inspections/{told['id']}").json() == told
        assert line.send(line.picture(), part="P-late", trigger_id="T-1").json() == told
        assert 'qc_late_parts_total{station="S-1"}' in line.get("/metrics").text
        with line.context.database.read() as session:
            assert verify(session)[0] >= 1
            sealed = session.exec(select(AuditEntry).where(AuditEntry.subject == told["id"])).all()
            assert len(sealed) == 1


def test_a_part_that_nobody_waits_for_is_recorded_as_late_all_the_same(run_line, tmp_path):
    held = Held()
    with run_line(tmp_path, held, decide_by={"S-1": 0.2}) as line:
        taken = line.context.inspector.take(Order("P-1", "S-1", [Picture(line.picture())]))
        end = time.monotonic() + 20
        while line.get(f"/inspections/{taken.inspection_id}").json()["progress"] == "received":
            assert time.monotonic() < end
            time.sleep(0.02)
        assert line.get(f"/inspections/{taken.inspection_id}").json()["verdict"] == "ng"
        held.go.set()


def test_stations_have_decide_by_times_of_their_own(run_line, tmp_path):
    held = Held()
    held.go.set()
    with run_line(tmp_path, held, decide_by_s=30, decide_by={"slow": 0}) as line:
        assert line.context.settings.decide_by_of("S-1") == 30
        assert line.context.settings.decide_by_of("slow") is None
        assert line.send(line.picture()).json()["verdict"] == "ok"


class Broken(Held):
    def segment(self, pixels):
        raise RuntimeError("out of memory")


@pytest.mark.parametrize(("decide_by_s", "verdict"), [(0.0, "review"), (30.0, "ng")])
def test_where_the_line_waits_for_nobody_a_failed_inspection_is_not_good(run_line, tmp_path, decide_by_s, verdict):
    with run_line(tmp_path, Broken(), decide_by_s=decide_by_s) as line:
        told = line.send(line.picture()).json()
        assert (told["verdict"], told["progress"]) == (verdict, "failed")
        assert "out of memory" in told["problem"]


def test_what_was_overdue_while_the_server_was_away_is_late_and_not_looked_at(run_line, tmp_path):
    with run_line(tmp_path) as line, line.context.database.write() as session:
        session.add(Inspection(part="P-1", station="S-1", progress=Progress.RECEIVED, received_at=line.context.now()))
        session.commit()
    time.sleep(0.3)
    held = Held()
    held.go.set()
    with run_line(tmp_path, held, decide_by_s=0.2) as line:
        end = time.monotonic() + 20
        while (items := line.get("/inspections").json()["items"])[0]["progress"] == "received":
            assert time.monotonic() < end
            time.sleep(0.02)
        assert (items[0]["verdict"], items[0]["progress"]) == ("ng", "failed")
        assert held.looks == 0


def test_decide_by_times_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("QC_DECIDE_BY", '{"brush-1": 1.5}')
    assert read_settings().decide_by_of("brush-1") == 1.5
    assert Settings().decide_by_of("mill-1") is None
    monkeypatch.setenv("QC_DECIDE_BY", '{"brush-1": "soon"}')
    with pytest.raises(InvalidInput, match="DECIDE_BY"):
        read_settings()
