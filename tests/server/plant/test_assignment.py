"""A folder camera's pictures carry no number: a doubtful one goes to no part, and the station finds its way back."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
import pytest
from sqlmodel import select

from qc.records import Inspection, Progress
from qc.verdict import Verdict
from server.plant.config import StationConfig
from server.plant.handshake import Fault, Inputs, Phase
from server.plant.sources import FolderSource, NoPicture, Repetitions, source_of
from server.plant.station import WHOSE_PICTURE, Station

WITHIN_S = 0.4
"""A picture comes so soon after its trigger, or never."""


class Cell:
    """A station whose PLC and camera are the test."""

    def __init__(self, line, folder, **settings) -> None:
        self.camera = folder / "camera"
        self.camera.mkdir(exist_ok=True)
        wanted = {
            "decide_by_s": 30,
            "picture_within_s": WITHIN_S,
            "picture_early_s": 60,  # however slow this machine is
            "cameras": [{"folder": str(self.camera)}],
            "modbus": {"port": 0},
            **settings,
        }
        config = StationConfig.model_validate(wanted)
        memory, sources = folder / "station.json", [source_of(camera) for camera in config.cameras]
        self.station = Station(folder.name, config, line.context, sources, memory=memory)
        self.line, self._n = line, 0

    def shoots(self, mark: int = 0) -> None:
        """The camera's software writes a picture; equal marks are equal bytes."""
        self._n += 1
        grey = np.full((60, 80), 180, np.uint8)
        grey[0, 0] += mark
        beside = self.camera / f".{self._n}.png"
        cv2.imwrite(str(beside), grey)
        beside.rename(self.camera / f"{self._n}.png")

    def put_aside(self) -> list[str]:
        return [file.name for file in (self.camera / ".stray").glob("*.png")]

    def rows(self) -> list[Inspection]:
        mine = select(Inspection).where(Inspection.station == self.station.name)
        with self.line.context.database.read() as session:
            return list(session.exec(mine.order_by(Inspection.id)))

    def judged(self) -> list[str]:
        return [row.part for row in self.rows()]

    def says(self, *, trigger=False, acknowledge=False, part="P") -> None:
        self.station.heard(Inputs(trigger, acknowledge, 1, part))

    def becomes(self, phase: Phase) -> None:
        end = time.monotonic() + 30
        while self.station.phase != phase:
            assert time.monotonic() < end, f"it stays {self.station.phase}: {self.station.problem}"
            time.sleep(0.005)

    def result(self):
        """The reply, read and acknowledged."""
        self.becomes(Phase.RESULT)
        reply = self.station.shown().reply
        self.says(acknowledge=True)
        self.says()
        return reply


@pytest.fixture(scope="module")
def served(run_line, tmp_path_factory):
    with run_line(tmp_path_factory.mktemp("home"), camera_checks=False) as line:
        yield line


@pytest.fixture
def cells(served, tmp_path):
    """Opens a station; stops it."""
    opened = []

    def open_one(**settings) -> Cell:
        opened.append(Cell(served, tmp_path, **settings))
        return opened[-1]

    yield open_one
    opened[0].station.stop()


def wait_until(true) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def ready(cell: Cell) -> Cell:
    cell.says()
    cell.becomes(Phase.READY)
    return cell


def test_a_part_that_was_given_up_takes_no_picture_of_the_next_one(cells):
    cell = ready(cells(picture_within_s=1.0))
    cell.says(trigger=True, part="P-1")  # its picture never comes
    cell.says(part="P-1")
    cell.says(trigger=True, part="P-2")
    assert cell.station.phase == Phase.RESULT
    cell.shoots(2)
    assert cell.result().fault != Fault.NONE
    cell.becomes(Phase.READY)
    cell.shoots(3)
    cell.says(trigger=True, part="P-3")
    assert (cell.result().ok, cell.judged()) == (True, ["P-3"])


def test_an_overrun_part_has_no_verdict_as_its_picture_may_be_the_next_ones(cells, monkeypatch):
    cell, go_on = ready(cells()), threading.Event()
    model = cell.line.context.segmenter
    looks = model.segment
    monkeypatch.setattr(model, "segment", lambda pixels: go_on.wait(30) and looks(pixels))
    cell.says(trigger=True, part="P-1")  # its picture never comes
    cell.shoots(2)  # and the next one's is there before its trigger is heard
    wait_until(cell.judged)
    cell.says(part="P-1")
    cell.says(trigger=True, part="P-2")
    go_on.set()
    assert cell.result().fault == Fault.OVERRUN
    wait_until(lambda: cell.rows()[0].progress != Progress.RECEIVED)
    row = cell.rows()[0]
    assert (row.part, row.progress, row.verdict == Verdict.OK) == ("P-1", Progress.FAILED, False)
    assert row.problem.startswith(WHOSE_PICTURE)


def test_a_picture_that_was_triggered_before_the_server_started_goes_to_no_part(cells):
    cell = cells()
    cell.shoots(1)  # of a trigger that nobody heard
    begun = time.monotonic()
    ready(cell)
    assert time.monotonic() - begun >= WITHIN_S, "another one may still have been on its way"
    assert cell.put_aside() == ["1.png"]
    cell.shoots(2)
    cell.says(trigger=True, part="P-2")
    assert (cell.result().ok, cell.judged()) == (True, ["P-2"])


def test_a_picture_that_was_triggered_while_the_wire_was_cut_goes_to_no_part(cells):
    cell = ready(cells())
    cell.station.lost()
    cell.shoots(1)
    begun = time.monotonic()
    ready(cell)
    assert time.monotonic() - begun >= WITHIN_S
    assert cell.put_aside() == ["1.png"]


def test_a_picture_that_lies_there_without_a_trigger_is_put_aside(cells):
    cell = ready(cells(picture_early_s=0.1))
    cell.shoots(1)
    end = time.monotonic() + 30
    while not cell.put_aside():
        assert time.monotonic() < end
        time.sleep(0.02)
    cell.becomes(Phase.READY)


def test_a_picture_that_comes_later_than_it_may_goes_to_no_part(cells):
    cell = ready(cells(picture_within_s=0.1))
    cell.says(trigger=True, part="P-1")
    cell.becomes(Phase.RESULT)
    assert cell.station.shown().reply.fault == Fault.NO_PICTURE, "long before the decide-by time"
    cell.shoots(1)
    assert not cell.result().ok
    cell.becomes(Phase.READY)
    assert (cell.put_aside(), cell.judged()) == (["1.png"], [])


@pytest.mark.parametrize(("repeats", "fault"), [(False, Fault.NO_PICTURE), (True, Fault.NONE)])
def test_the_same_bytes_twice_are_a_repetition_unless_the_camera_may(cells, tmp_path, repeats, fault):
    cell = ready(cells(cameras=[{"folder": str(tmp_path / "camera"), "repeats": repeats}]))
    for part, expected in (("P-1", Fault.NONE), ("P-2", fault)):
        cell.becomes(Phase.READY)
        cell.shoots(7)
        cell.says(trigger=True, part=part)
        assert cell.result().fault == expected


def test_a_camera_is_told_what_it_did(tmp_path):
    (tmp_path / "a.png").write_bytes(b"a")
    source = FolderSource("", tmp_path)
    with pytest.raises(NoPicture, match="nobody waits"):
        source.picture(1.0, lambda: False)
    assert (source.picture(1.0).data, source.lying()) == (b"a", 1)
    with pytest.raises(NoPicture, match="repeats: true"):
        source.picture(1.0)
    Repetitions(allowed=False).check(b"a", "another camera")


def test_the_plc_has_its_result_as_soon_as_the_verdict_is_committed(cells, monkeypatch):
    cell, go_on = ready(cells()), threading.Event()
    inspector = cell.line.context.need_inspector()
    monkeypatch.setattr(inspector, "wait", lambda inspection_id: go_on.wait(60))  # whoever waits is not scheduled
    looks, cleared = cell.line.context.segmenter.segment, threading.Event()
    source = cell.station._sources[0]
    stored = source.stored
    monkeypatch.setattr(source, "stored", lambda: (stored(), cleared.set()))
    monkeypatch.setattr(cell.line.context.segmenter, "segment", lambda pixels: cleared.wait(30) and looks(pixels))
    cell.shoots(40)
    cell.says(trigger=True, part="P-40")
    cell.becomes(Phase.RESULT)
    reply = cell.station.shown().reply
    go_on.set()
    assert (reply.ok, reply.part, reply.inspection) == (True, "P-40", cell.rows()[0].id)
    wait_until(lambda: cell.rows()[0].progress == Progress.DONE)


def test_no_result_is_told_before_the_picture_is_cleared_away(cells, monkeypatch):
    cell = ready(cells())
    source = cell.station._sources[0]
    stored, asked, may = source.stored, threading.Event(), threading.Event()

    def slowly() -> None:
        asked.set()
        assert may.wait(60)
        stored()

    monkeypatch.setattr(source, "stored", slowly)
    cell.shoots(41)
    cell.says(trigger=True, part="P-41")
    assert asked.wait(30)
    assert cell.station.phase == Phase.BUSY
    may.set()
    reply = cell.result()
    assert (reply.ok, reply.part, reply.fault) == (True, "P-41", Fault.NONE)
    assert list(cell.camera.glob("*.png")) == []


def test_two_cameras_of_one_part_give_one_verdict_on_both_views(cells, tmp_path):
    second = tmp_path / "second"
    second.mkdir()
    cameras = [{"view": "top", "folder": str(tmp_path / "camera")}, {"view": "left", "folder": str(second)}]
    cell = ready(cells(cameras=cameras))
    cell.shoots(51)
    (cell.camera / "1.png").rename(second / "1.png")
    cell.shoots(50)
    cell.says(trigger=True, part="P-50")
    reply = cell.result()
    assert (reply.ok, reply.part) == (True, "P-50")
    told = cell.line.get(f"/inspections/{reply.inspection}").json()
    assert [image["view"] for image in told["images"]] == ["top", "left"]
    assert cell.station.state()["asked_apart_ms"] >= 0


def test_a_number_that_a_kill_kept_from_the_disk_is_not_used_twice(cells, tmp_path):
    first = ready(cells())
    first.says(trigger=True, part="P-1")
    first.shoots(61)
    assert first.result().ok
    number = first.station.shown().number
    first.station.stop()
    (tmp_path / "station.json").write_text('{"triggers": 0, "reply": null}')
    second = ready(cells())
    assert second.station.shown().number == number
    second.says(trigger=True, part="P-2")
    second.shoots(62)
    assert (second.result().fault, second.station.shown().number) == (Fault.NONE, number + 1)
    second.station.stop()


def test_a_trigger_that_comes_while_the_server_stops_is_an_error_at_once(cells):
    cell = ready(cells())
    cell.station.stop()
    cell.says(trigger=True, part="P-1")
    assert cell.station.phase == Phase.RESULT
    assert cell.station.shown().reply.fault == Fault.NOT_READY
    assert cell.judged() == []
