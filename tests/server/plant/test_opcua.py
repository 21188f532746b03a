"""A client in a process of its own runs jobs over OPC UA: encrypted, with a key, results by event and by id."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from sqlmodel import select

from qc.ports import Segmentation
from qc.records import Inspection
from server.access import Role
from server.plant.handshake import Phase

CLIENT = Path(__file__).with_name("opcua_client.py")


class Held:
    """Looks until it is let go, then finds nothing."""

    model_id = "sha256:held"
    classes: Mapping[int, str] = {1: "pit"}
    threshold = edge = 0.5

    def __init__(self) -> None:
        self.go = threading.Event()

    def segment(self, pixels) -> Segmentation:
        self.go.wait(60)
        return Segmentation(np.full(pixels.shape[:2], -9, np.float16), np.ones(pixels.shape[:2], np.uint8))


@pytest.fixture
def model():
    """The tests' own, which finds dark spots."""
    return None


@pytest.fixture
def recipes():
    """Which the station knows."""
    return {1: "bar", 2: "hinge"}


@pytest.fixture
def cell(tmp_path, run_line, model, recipes):
    """A server with one station over OPC UA, and the folder that its camera writes into."""
    home, camera = tmp_path / "home", tmp_path / "camera"
    home.mkdir()
    camera.mkdir()
    station = {
        "decide_by_s": 20,
        "cameras": [{"folder": str(camera)}],
        "opcua": True,
        "recipes": recipes,
        "picture_within_s": 0.3,  # the pictures are there before their triggers
        "picture_early_s": 30,  # however slow this machine is
    }
    config = {"stations": {"brush-1": station}, "opcua": {"port": 0}}
    (home / "plant.yaml").write_text(yaml.safe_dump(config))
    with run_line(home, model) as line:
        line.folder, line.camera = tmp_path, camera
        doors = line.context.parts["plant"].opcua._doors
        wait_until(lambda: doors.get_user(None, "plc", line.keys[Role.MACHINE]))  # the keys have just been made
        yield line


def picture(line, name, *, dark=0):
    """A picture outside of the camera's folder, and where the camera puts it."""
    grey = np.full((90, 120), 180, np.uint8)
    grey[0, 0] += int(name) + 1
    grey[10 : 10 + dark, 20:30] = 20
    file = line.folder / f"{name}.png"
    cv2.imwrite(str(file), grey)
    return [str(file), str(line.camera / file.name)]


def wait_until(true) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def talk(line, *steps, key=None, options=()):
    url = f"opc.tcp://127.0.0.1:{line.context.parts['plant'].opcua.port}/qc"
    key = line.keys[Role.MACHINE] if key is None else key
    done = subprocess.run(
        [sys.executable, CLIENT, url, key, str(line.folder), *options],
        input="".join(json.dumps(step) + "\n" for step in steps),
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(told) for told in done.stdout.splitlines()]


def test_jobs_run_by_recipe_and_their_results_come_by_event_and_by_id(cell):
    begin, ok, bad, unknown, neither, contradiction, nothing = talk(
        cell,
        {"start": {"part": "P-1", "recipe": "1"}, "copy": picture(cell, "1")},
        {"start": {"part": "P-2", "product": "hinge"}, "copy": picture(cell, "2", dark=8)},
        {"start": {"part": "P-3", "recipe": "9"}},
        {"start": {"part": "P-3"}},
        {"start": {"part": "P-3", "recipe": "1", "product": "hinge"}},
        {"result": "nobody's"},
    )
    assert begin["events"] == ["ErrorEvent", "JobStartedEvent", "ReadyEvent", "ResultReadyEvent"]
    assert (ok["job"], ok["event"]["JobId"]) == ("brush-1#1", "brush-1#1")
    good, faulty = ok["event"]["Result"], bad["event"]["Result"]
    assert (good["ok"], good["part"], good["error"]) == (True, "P-1", 0)
    assert (faulty["ok"], faulty["verdict"], faulty["defects"]) == (False, "ng", 1)
    assert [one["refused"] for one in (unknown, neither, contradiction)] == ["BadInvalidArgument"] * 3
    assert nothing["refused"] == "BadNotFound"
    with cell.context.database.read() as session:
        rows = session.exec(select(Inspection).order_by(Inspection.id)).all()
    assert [(row.id, row.product) for row in rows] == [(good["inspection"], "bar"), (faulty["inspection"], "hinge")]
    assert talk(cell, {"result": good["inspection"]})[1]["result"] == good, "also for a client that was not there"


@pytest.mark.parametrize("model", [Held()])
def test_a_job_that_does_not_fit_the_state_is_refused_and_the_running_one_goes_on(cell, model):
    _, started, refused, later = talk(
        cell,
        {"start": {"part": "P-1", "recipe": "1"}, "read": False, "copy": picture(cell, "1")},
        {"start": {"part": "P-2", "recipe": "1"}, "wait": False},
        {"start": {"part": "P-3", "recipe": "1"}, "copy": picture(cell, "3"), "wait": False},
    )
    assert started["job"] == "brush-1#1"
    assert refused["refused"] == later["refused"] == "BadInvalidState"
    state = cell.context.parts["plant"].stations["brush-1"]
    assert state.shown().number == 1, "what was refused was no trigger"
    model.go.set()


@pytest.mark.parametrize("recipes", [{}])
def test_without_recipes_a_job_for_another_product_than_the_default_one_is_refused(cell):
    default = cell.context.settings.default_product
    _, hinge, words, told = talk(
        cell,
        {"start": {"part": "P-1", "product": "hinge"}},
        {"start": {"part": "P-1", "recipe": "hinge"}},
        {"start": {"part": "P-1", "product": default, "recipe": "7"}, "copy": picture(cell, "1")},
    )
    assert hinge["refused"] == words["refused"] == "BadInvalidArgument"
    assert (told["job"], told["event"]["Result"]["ok"]) == ("brush-1#1", True), "every index is the default product"


def test_a_server_that_ends_by_itself_is_told_and_started_again_and_loses_no_result(cell, monkeypatch):
    plant = cell.context.parts["plant"]
    wire, station = plant.opcua, plant.stations["brush-1"]
    port, trouble = wire.port, ValueError("no such node")

    async def failing(*_what):
        raise trouble

    wait_until(lambda: station.phase == Phase.READY)
    monkeypatch.setattr(wire, "_tell_result", failing)
    shutil.copy(*picture(cell, "1"))
    assert wire._start(station, "P-1", "1", "") == "brush-1#1"
    wait_until(lambda: wire.problem is not None)
    told = plant.state()
    assert told["state"] == "degraded"
    assert "OPC UA: it has ended and is started again (no such node)" in told["message"]
    monkeypatch.undo()
    wait_until(lambda: wire.problem is None and station.phase == Phase.READY)
    assert wire.port == port, "where the clients look for it"
    assert "OPC UA" not in plant.state().get("message", "")
    result = station.shown().reply.inspection
    found, again = talk(
        cell, {"result": result}, {"start": {"part": "P-2", "recipe": "1"}, "copy": picture(cell, "2")}
    )[1:]
    assert (found["result"]["part"], found["result"]["ok"]) == ("P-1", True)
    assert (again["job"], again["event"]["Result"]["ok"]) == ("brush-1#2", True)


def test_nobody_comes_in_without_a_machines_key_or_in_the_clear(cell):
    for key, options in (("", []), ("qc_wrong", []), (cell.keys[Role.LABELLER], []), (None, ["--plain"])):
        assert "refused" in talk(cell, key=key, options=options)[0]
