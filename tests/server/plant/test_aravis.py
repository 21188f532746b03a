"""A GigE Vision camera on this machine's own network: Aravis's simulated one, in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import time

import numpy as np
import pytest

from qc.errors import Unavailable
from qc.frame import decode
from server.plant import aravis
from server.plant.aravis_library import library
from server.plant.config import CameraConfig
from server.plant.sources import NoPicture, source_of

PROGRAM = "arv-fake-gv-camera-0.8"


@pytest.fixture(scope="module")
def installed():
    """Skips where Aravis is not there."""
    if shutil.which(PROGRAM) is None:
        pytest.skip("Aravis's camera simulator is not installed (Debian: aravis-tools)")
    try:
        library()
    except Unavailable as error:
        pytest.skip(error.message)


class Camera:
    """The simulated camera; GigE Vision has one port, so that an address has one."""

    address = "127.0.0.1"

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None

    def plug_in(self, **options) -> None:
        more = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        command = [PROGRAM, "-i", self.address, *more]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def pull_out(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def camera(installed):
    one = Camera()
    one.plug_in()
    yield one
    one.pull_out()


@pytest.fixture
def look(camera, monkeypatch):
    """Opens the camera as a station's source; closes it again."""
    monkeypatch.setattr(aravis, "AGAIN_S", 0.2)
    opened = []

    def open_one(trigger="free-run", **features):
        wanted = {"device": camera.address, "trigger": trigger, "features": features}
        opened.append(source_of(CameraConfig(view="top", aravis=wanted)))
        return opened[-1]

    yield open_one
    for source in opened:
        source.close()


def until(true, patience_s=60.0):
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_camera_gives_pictures_and_goes_on_after_it_was_unplugged(camera, look, monkeypatch):
    monkeypatch.setattr(aravis, "ASK_S", 0.2)
    source = look(Width=320, Height=200, ExposureTimeAbs=5000.0, PixelFormat="Mono16")
    until(lambda: source.problem() is None)
    first, second = decode(source.picture(10.0).data), decode(source.picture(10.0).data)
    assert (first.shape, first.dtype) == ((200, 320), np.uint16)
    assert not np.array_equal(first, second), "the scene moves, and an old frame is not handed out"
    camera.pull_out()
    until(lambda: source.problem() is not None)
    with pytest.raises(NoPicture, match=r"127\.0\.0\.1"):
        source.picture(0.5)
    camera.plug_in()
    until(lambda: source.problem() is None)
    assert decode(source.picture(10.0).data).shape == (200, 320)


def test_a_picture_is_taken_when_the_station_says_so(look):
    source = look(trigger="software")
    until(lambda: source.problem() is None)
    seen = [decode(source.picture(10.0).data) for _ in range(2)]
    assert seen[0].shape == seen[1].shape
    assert source.surplus() == 0
    waiting = look(trigger="hardware")
    source.close()
    until(lambda: waiting.problem() is None)
    with pytest.raises(NoPicture, match="is it triggered"):
        waiting.picture(0.3)


def test_frames_that_lost_packets_are_passed_over_and_counted(camera, look):
    camera.pull_out()
    camera.plug_in(gvsp_lost_ratio=300)
    source = look(Width=512, Height=512)
    until(lambda: source.problem() is None)
    until(lambda: source.lost > 0)


def test_frames_that_nobody_wants_are_no_loss(look):
    source = look()
    until(lambda: source.problem() is None)
    until(lambda: source._open.library.failures(source._open.stream)[1] > 0)
    assert source.lost == 0, "the queue is full until the next part"
    assert source.picture(10.0).data


def test_what_cannot_be_set_says_why(look):
    source = look(NoSuchThing=1)
    until(lambda: "no feature NoSuchThing" in (source.problem() or ""))
    assert "does not take PixelFormat" in look(PixelFormat="Purple").problem()
    assert "does not take Width = 1000000" in look(Width=1_000_000).problem()
    assert "does not take ExposureTimeAbs = -5.0" in look(ExposureTimeAbs=-5.0).problem()
