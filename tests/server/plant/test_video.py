"""A camera that streams over RTSP, from a real server in a process of its own; and a USB camera that is not there."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from qc.frame import decode
from server.plant import video
from server.plant.config import CameraConfig
from server.plant.sources import NoPicture, source_of

PYTHON = "/usr/bin/python3"
"""Debian's: GStreamer's RTSP server has its Python binding there."""
CAMERA = Path(__file__).with_name("rtsp_camera.py")
TRY = 'import gi; gi.require_version("GstRtspServer", "1.0"); from gi.repository import GstRtspServer'


@pytest.fixture(scope="module")
def gstreamer():
    """Skips where GStreamer's RTSP server is not installed."""
    try:
        there = subprocess.run([PYTHON, "-c", TRY], capture_output=True, timeout=60).returncode == 0
    except FileNotFoundError:
        there = False
    if not there:
        pytest.skip("GStreamer's RTSP server (gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good) is not installed")


@pytest.fixture
def rtsp(gstreamer):
    """Starts cameras: `rtsp(port=0, lose_every=0)` gives process and port; ends them all."""
    running = []

    def start(port=0, lose_every=0):
        command = [PYTHON, CAMERA, str(port), *([str(lose_every)] if lose_every else [])]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        running.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def look():
    """Opens a stream as a station's source; closes them all."""
    opened = []

    def open_one(port):
        url = f"rtsp://who:secret@127.0.0.1:{port}/top"
        stream = {"url": url, "latency_s": 0.0}
        opened.append(source_of(CameraConfig(view="top", stream=stream, repeats=True)))  # the ball has no noise
        return opened[-1]

    yield open_one
    for source in opened:
        source.close()


def until(true, patience_s=60.0):
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_pictures_come_from_a_stream_and_go_on_after_it_was_unplugged(rtsp, look, monkeypatch):
    monkeypatch.setattr(video, "AGAIN_S", 0.1)
    camera, port = rtsp()
    source = look(port)
    until(lambda: source.problem() is None)
    first = decode(source.picture(10.0).data)
    second = decode(source.picture(10.0).data)
    assert first.shape == (240, 320, 3)
    assert not np.array_equal(first, second), "the ball moves, and an old frame is not handed out"
    camera.kill()
    camera.wait()
    until(lambda: source.problem() is not None)
    with pytest.raises(NoPicture, match=rf"rtsp://127\.0\.0\.1:{port}/top"):
        source.picture(1.0)
    assert "secret" not in source.problem()
    rtsp(port)
    until(lambda: source.problem() is None)
    assert decode(source.picture(10.0).data).shape == (240, 320, 3)


def test_frames_that_are_lost_on_the_way_are_counted(rtsp, look):
    _, port = rtsp(lose_every=5)
    source = look(port)
    until(lambda: source.lost >= 3)
    with pytest.raises(NoPicture, match=r"within 0\.00 s"):
        source.picture(0.0)


def test_a_picture_is_one_that_was_taken_after_the_trigger():
    timing = video.Timing()
    came, _ = timing.frame(own_s=100.0, waited_s=0.0, arrived_s=7.5)  # half a second lay in a queue
    assert (came, timing.live) == (7.5, False), "how long it lay nobody can say yet"
    for n in range(1, 10):
        timing.frame(own_s=100.0 + n / 20, waited_s=0.0, arrived_s=7.5)
    assert not timing.live
    timing.frame(own_s=100.5, waited_s=0.04, arrived_s=7.54)
    assert timing.live, "it had to be waited for: the queue is empty"
    came, missing = timing.frame(own_s=100.55, waited_s=0.3, arrived_s=7.89)
    assert came == pytest.approx(7.59), "the network held it up for 0.3 s; it was taken before"
    assert missing == 0
    _, missing = timing.frame(own_s=100.75, waited_s=0.0, arrived_s=7.9)
    assert missing == 3
    came, missing = timing.frame(own_s=0.05, waited_s=0.05, arrived_s=8.0)
    assert (came, missing) == (8.0, 0), "its clock was set, and nothing lost"


def test_a_stream_without_times_goes_by_arrival():
    timing = video.Timing()
    for n in range(3):
        assert timing.frame(own_s=0.0, waited_s=0.01, arrived_s=float(n)) == (float(n), 0)
    assert timing.live


def test_a_usb_camera_that_is_not_there_says_so():
    source = source_of(CameraConfig(usb={"device": "/dev/video97", "width": 1920, "height": 1080}))
    until(lambda: "it cannot be opened" in (source.problem() or ""))
    with pytest.raises(NoPicture, match="/dev/video97"):
        source.picture(1.0)
    source.close()


@pytest.mark.skipif(not Path("/dev/video0").exists(), reason="there is no USB camera at /dev/video0")
def test_a_usb_camera_gives_pictures():
    source = source_of(CameraConfig(usb={"device": "/dev/video0"}))
    until(lambda: source.problem() is None)
    assert decode(source.picture(10.0).data).ndim == 3
    source.close()
