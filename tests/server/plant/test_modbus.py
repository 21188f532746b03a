"""A PLC in a process of its own triggers parts over Modbus TCP and gets its results, whatever happens in between."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from sqlmodel import select

from qc.errors import InvalidInput
from qc.ports import Segmentation
from qc.records import Inspection
from server.access import Role
from server.audit import AuditEntry
from server.audit_check import verify
from server.plant.config import read_config
from server.plant.handshake import Fault
from server.plant.modbus import text_of, words_of

PLC = Path(__file__).with_name("plc.py")


class Cell:
    """A data folder with a PLC-driven station and its camera's folder."""

    def __init__(self, folder: Path) -> None:
        self.home, self.camera, self.pictures = folder / "home", folder / "camera", folder / "pictures"
        for each in (self.home, self.camera, self.pictures):
            each.mkdir()
        self._n = 0
        self.configure()

    def configure(self, **settings) -> None:
        station = {
            "decide_by_s": 60,
            "cameras": [{"view": "top", "folder": str(self.camera)}],
            "modbus": {"port": 0},
            "picture_within_s": 0.3,  # the pictures are there before their triggers
            "picture_early_s": 30,  # however slow this machine is
            **settings,
        }
        (self.home / "plant.yaml").write_text(yaml.safe_dump({"stations": {"brush-1": station}}))

    def part(self, name, **more):
        """A part whose picture reaches the camera's folder with the trigger; `dark` pixels are a defect."""
        self._n += 1
        file = self.pictures / f"{self._n}.png"
        grey = np.full((90, 120), 180, np.uint8)
        grey[0, 0] += self._n  # no two pictures of a camera are equal
        grey[10 : 10 + more.pop("dark", 0), 20:30] = 20
        cv2.imwrite(str(file), grey)
        return {"part": name, "copy": [[str(file), str(self.camera / file.name)]], **more}

    @staticmethod
    def play(line, *parts):
        """The PLC's own account: what it read at first, then each result."""
        port = line.context.parts["plant"].wires["brush-1"].port
        done = subprocess.run(
            [sys.executable, PLC, str(port), json.dumps({"parts": parts})], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        first, *rest = [json.loads(told) for told in done.stdout.splitlines()]
        return first["at first"], rest


@pytest.fixture
def cell(tmp_path):
    return Cell(tmp_path)


class Slow:
    """Looks for a second, then finds nothing."""

    model_id = "sha256:slow"
    classes: Mapping[int, str] = {1: "pit"}
    threshold = edge = 0.5

    def segment(self, pixels) -> Segmentation:
        time.sleep(1.0)
        return Segmentation(np.full(pixels.shape[:2], -9, np.float16), np.ones(pixels.shape[:2], np.uint8))


def finished(line):
    with line.context.database.read() as session:
        return session.exec(select(Inspection).where(Inspection.progress != "received")).first()


def trail(line):
    with line.context.database.read() as session:
        verify(session)
        rows = session.exec(select(AuditEntry).where(AuditEntry.kind == "plc.result").order_by(AuditEntry.n))
        return [json.loads(row.body) for row in rows]


def until(true, patience_s=10.0):
    end = time.monotonic() + patience_s
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_parts_get_their_results_and_all_is_on_record(cell, run_line):
    cell.configure(recipes={1: "bar", 2: "hinge"})
    with run_line(cell.home) as line:
        parts = [
            cell.part("P-1"),
            cell.part("P-2", dark=8, recipe=2),
            cell.part("", recipe=2),
            cell.part("P-4", recipe=7),
        ]
        first, results = cell.play(line, *parts)
        told_to_plc = until(lambda: len(found := trail(line)) == 4 and found)
        with line.context.database.read() as session:
            rows = session.exec(select(Inspection).order_by(Inspection.id)).all()
        health = line.get("/health").json()["components"]["plant"]
        figures = line.get("/metrics", Role.ENGINEER).text
    assert (first["ready"], first["seen"]) == (False, 0), "its signals have to fall first"
    assert 'qc_station_able{station="brush-1"} 1.0' in figures
    assert 'qc_camera_frames_lost_total{station="brush-1"} 0.0' in figures
    ok, bad, unnamed, refused = results
    assert (ok["ok"], ok["ng"], ok["part"], ok["defects"], ok["code"]) == (True, False, "P-1", 0, Fault.NONE)
    assert (bad["ok"], bad["ng"], bad["error"], bad["defects"]) == (False, True, False, 1)
    assert bad["score"] > 0.9
    assert (unnamed["ok"], unnamed["part"]) == (True, "brush-1-3")
    assert (refused["ok"], refused["ng"], refused["error"], refused["code"]) == (
        False,
        True,
        True,
        Fault.UNKNOWN_RECIPE,
    )
    assert [r["number"] for r in results] == [1, 2, 3, 4]
    assert [(row.id, row.part, row.product) for row in rows] == [
        (ok["inspection"], "P-1", "bar"),
        (bad["inspection"], "P-2", "hinge"),
        (unnamed["inspection"], "brush-1-3", "hinge"),
    ]
    assert [told["told"] for told in told_to_plc] == ["ok", "ng", "ok", "ng"]
    assert health["state"] == "ok"
    assert not [file for file in cell.camera.iterdir() if file.name == "1.png"], "taken out once it is stored"


def test_a_camera_that_delivers_two_pictures_or_rubbish_makes_the_part_ng(cell, run_line):
    with run_line(cell.home) as line:
        two = cell.part("P-1")
        two["copy"] += cell.part("-")["copy"]
        rubbish = cell.part("P-2")
        Path(rubbish["copy"][0][0]).write_bytes(b"no picture")
        _, results = cell.play(line, two, rubbish, cell.part("P-3"))
    assert [(r["ng"], r["error"], r["code"]) for r in results] == [
        (True, True, Fault.NO_PICTURE),
        (True, True, Fault.NO_PICTURE),
        (False, False, Fault.NONE),
    ]
    assert len(list((cell.camera / ".stray").iterdir())) == 3, (
        "what belongs to no trigger is put aside, not thrown away"
    )


def test_a_slow_model_or_camera_is_late_for_the_plc_and_on_record(cell, run_line):
    cell.configure(decide_by_s=0.4)
    with run_line(cell.home, Slow()) as line:
        _, (late, no_picture) = cell.play(line, cell.part("P-1"), {"part": "P-2"})
        row = until(lambda: finished(line))
        until(lambda: len(trail(line)) == 2)
    assert (late["ok"], late["ng"], late["code"], late["number"]) == (False, True, Fault.LATE, 1)
    assert (no_picture["ok"], no_picture["ng"], no_picture["error"]) == (False, True, True)
    assert (row.part, str(row.verdict), str(row.progress)) == ("P-1", "ng", "failed")


def test_a_trigger_while_busy_makes_both_parts_ng(cell, run_line):
    with run_line(cell.home, Slow()) as line:
        _, (both, after) = cell.play(line, cell.part("P-1", twice=True), cell.part("P-2"))
    assert (both["ng"], both["code"], both["since"], both["number"]) == (True, Fault.OVERRUN, 1, 2)
    assert (after["ok"], after["number"]) == (True, 3), "the first one's verdict, which came later, is nobody's"


def test_a_station_that_looks_on_tells_its_plc_nothing_of_the_model(cell, run_line):
    with run_line(cell.home) as line:
        assert line.post("/stations/brush-1/mode", json={"mode": "shadow", "reason": "a trial"}).status_code == 200
        _, (told,) = cell.play(line, cell.part("P-1", dark=8))
        (row,) = line.get("/inspections?station=brush-1").json()["items"]
    assert (told["ok"], told["ng"], told["review"], told["score"], told["defects"]) == (False, True, True, 0, 0)
    assert (row["verdict"], told["inspection"]) == ("review", row["id"])


def test_after_a_restart_the_last_result_is_old_and_no_number_comes_twice(cell, run_line):
    with run_line(cell.home) as line:
        cell.play(line, cell.part("P-1"), cell.part("P-2", dark=8))
    with run_line(cell.home) as line:
        first, (third,) = cell.play(line, cell.part("P-3"))
        assert (first["old"], first["ready"], first["ok"], first["ng"]) == (True, False, False, False)
        assert (first["number"], first["seen"], third["number"], third["ok"]) == (2, 2, 3, True)
    (cell.home / "plant" / "brush-1.json").unlink()
    with run_line(cell.home) as line:
        first, (fourth,) = cell.play(line, cell.part("P-4"))
    assert (first["old"], fourth["number"], fourth["ok"]) == (False, 4, True)


def test_a_plc_that_vanishes_after_its_trigger_finds_the_result_when_it_is_back(cell, run_line):
    with run_line(cell.home) as line:
        cell.play(line, cell.part("P-1", stop_after="trigger"))
        first, _ = cell.play(line)
        until(lambda: cell.play(line)[0]["results_ready"])
        first, _ = cell.play(line)
    assert (first["ok"], first["part"], first["number"]) == (True, "P-1", 1)


def test_a_file_that_makes_no_sense_is_named_and_the_server_runs(cell, run_line):
    for change, word in (
        ({"cameras": []}, "stations.brush-1.cameras"),
        ({"cameras": [{"view": "top"}]}, "either a folder, or a url"),
        ({"decide_by_s": -1}, "stations.brush-1.decide_by_s"),
        ({"recipes": {1: "../x"}}, "product"),
        ({"colour": "red"}, "colour"),
    ):
        cell.configure(**change)
        with pytest.raises(InvalidInput, match=word):
            read_config(cell.home / "plant.yaml")
    with run_line(cell.home) as line:
        told = line.get("/health").json()["components"]["plant"]
    assert told["state"] == "failed"
    assert "colour" in told["message"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        cell.configure(modbus={"port": taken.getsockname()[1]})
        with run_line(cell.home) as line:
            assert "nobody can listen" in line.get("/health").json()["components"]["plant"]["message"]


def test_names_in_registers_keep_what_they_say():
    assert text_of(words_of("bar-17", 32)) == "bar-17"
    assert len(words_of("x" * 99, 32)) == 32
    assert text_of([0x67FC, 0]) == "g\xfc", "what is not ASCII is seen, and refused by the handshake"
