"""Cameras that send all the time: RTSP streams, and USB cameras through V4L2; both through OpenCV.

::

    cameras:
      - {view: top, stream: {url: "rtsp://user:password@192.168.1.21/main", latency_s: 0.4}}
      - {view: left, usb: {device: /dev/video0, width: 1920, height: 1080, latency_s: 0.1}}

Nobody triggers them, so a part's picture is the first one that was **taken** after its trigger. When it was taken is
known by the frames' own times: the frame that needed least time to get here, of the last hundred, needed `latency_s`,
the others longer. Measure it once, with a clock before the camera, and rather give more than less: too little, and a
picture may show what was there before the trigger. Pictures are kept as PNG, as they came out of the decoder.

A stream that breaks off is opened again by itself; frames missing between two others are counted by their times.
"""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import structlog
from numpy.typing import NDArray

from server.orders import Picture
from server.pictures import png
from server.plant import address
from server.plant.config import CameraConfig
from server.plant.sources import NoPicture, Repetitions, Wanted, always

log = structlog.get_logger(__name__)

AGAIN_S = 2.0
"""Between two attempts to open a camera, in seconds."""
OPEN_S, READ_S = 10.0, 3.0
"""A camera that takes longer to answer, or sends nothing for so long, is gone. In seconds."""
SLICE_S = 0.02
"""Between two questions whether anybody still wants the picture, in seconds."""
REMEMBERED = 100
"""Frames whose times are compared."""
LONGEST_GAP_S = 10.0
"""A jump of a stream's clock by more is no loss of frames: the camera set its clock."""


@dataclass(frozen=True, slots=True)
class Way:
    """How OpenCV opens a camera."""

    name: str
    """For people: without what is secret in an address."""
    target: str
    backend: int
    options: Sequence[int]
    latency_s: float


def way_of(config: CameraConfig) -> Way:
    """How to open the camera of a `stream` or a `usb`."""
    if config.stream is not None:
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            int(1000 * OPEN_S),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            int(1000 * READ_S),
        ]
        return Way(address.shown(config.stream.url), config.stream.url, cv2.CAP_FFMPEG, limits, config.stream.latency_s)
    usb = config.usb
    assert usb is not None, "the configuration has been checked"
    wanted = {
        cv2.CAP_PROP_FRAME_WIDTH: usb.width,
        cv2.CAP_PROP_FRAME_HEIGHT: usb.height,
        cv2.CAP_PROP_FPS: usb.fps,
    }
    options = [number for name, value in wanted.items() if value is not None for number in (name, value)]
    return Way(str(usb.device), str(usb.device), cv2.CAP_V4L2, options, usb.latency_s)


class Timing:
    """When the frames of a stream were taken, and how many are missing, by their own times. Seconds."""

    def __init__(self) -> None:
        self._delays: deque[float] = deque(maxlen=REMEMBERED)
        """From a frame's own time to its arrival; the two clocks have nothing to do with each other."""
        self._gaps: deque[float] = deque(maxlen=REMEMBERED)
        self._last: float | None = None
        self.live = False
        """Frames are read as fast as they come: none waits in a queue."""

    def frame(self, *, own_s: float, waited_s: float, arrived_s: float) -> tuple[float, int]:
        """A frame came.

        Args:
            own_s: its own time; 0 where the stream has none.
            waited_s: how long it had to be waited for.
            arrived_s: when it came, on our clock.

        Returns:
            When it came, or would have come without a queue on its way; and how many are missing before it.
        """
        gap = None if self._last is None else own_s - self._last
        self._last = own_s
        if gap is None or not 0 < gap < LONGEST_GAP_S:  # the first one, no times at all, or a clock that was set
            self._delays.clear()
            self._delays.append(arrived_s - own_s)
            self.live = self.live or gap == 0
            return arrived_s, 0
        usual = statistics.median(self._gaps) if self._gaps else gap
        self._gaps.append(gap)
        self.live = self.live or waited_s > usual / 2
        self._delays.append(arrived_s - own_s)
        return own_s + min(self._delays), max(round(gap / usual) - 1, 0)


class VideoSource:
    """One camera that sends all the time; a `server.plant.sources.Source`."""

    unasked = False

    def __init__(self, config: CameraConfig) -> None:
        self.view, self._way = config.view, way_of(config)
        self._repetitions = Repetitions(allowed=config.repeats)
        self._problem: str | None = "it has not been opened yet"
        self._wanted_from = math.inf
        self._picture: NDArray[np.uint8] | None = None
        self._missing = 0
        self._lock = threading.Lock()
        """Of the wish for a picture and the picture."""
        self._here, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"video-{self.view}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Frames that are missing between others."""
        return self._missing

    def arm(self) -> None:
        """Nothing lies about: only what is taken after a trigger is kept."""

    def picture(self, within_s: float, wanted: Wanted = always) -> Picture:
        now = time.monotonic()
        with self._lock:
            self._here.clear()
            self._picture, self._wanted_from = None, now + self._way.latency_s
        try:
            while not self._here.wait(SLICE_S):
                if self._problem is not None:
                    raise NoPicture(f"{self._name}: {self._problem}")
                if not wanted():
                    raise NoPicture("nobody waits for the picture any more")
                if time.monotonic() > now + within_s:
                    raise NoPicture(f"{self._name} gave no picture taken after the trigger within {within_s:.2f} s")
        finally:
            with self._lock:
                self._wanted_from, picture = math.inf, self._picture
        assert picture is not None, "it was here"
        data = png(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8) if picture.ndim == 3 else picture)
        self._repetitions.check(data, self._name)
        return Picture(data, "frame.png", self.view)

    def stored(self) -> None:
        """There is nothing to clear away."""

    def surplus(self) -> int:
        return 0

    def lying(self) -> int:
        return 0

    def problem(self) -> str | None:
        return self._problem and f"{self._name}: {self._problem}"

    def close(self) -> None:
        """Let the camera go."""
        self._stop.set()
        self._thread.join(timeout=OPEN_S + READ_S)

    @property
    def _name(self) -> str:
        return f"the camera {self._way.name}"

    def _run(self) -> None:
        while not self._stop.is_set():
            capture = cv2.VideoCapture(self._way.target, self._way.backend, list(self._way.options))
            try:
                if capture.isOpened():
                    self._read(capture)
                else:
                    self._set_problem("it cannot be opened; is it there, and its address right?")
            except cv2.error as error:
                self._set_problem(f"it cannot be read ({error.err})")
            finally:
                capture.release()
            self._stop.wait(AGAIN_S)
        self._set_problem("it was closed")

    def _read(self, capture: cv2.VideoCapture) -> None:
        """Until it breaks off."""
        timing = Timing()
        while not self._stop.is_set():
            begun = time.monotonic()
            if not capture.grab():
                self._set_problem("it sends nothing any more")
                return
            now = time.monotonic()
            own_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            came, missing = timing.frame(own_s=own_s, waited_s=now - begun, arrived_s=now)
            if missing and timing.live:
                self._missing += missing
                log.warning("camera", camera=self._name, state="frames are missing", missing=missing)
            if timing.live:
                self._set_problem(None)
                self._hand_out(capture, came)

    def _hand_out(self, capture: cv2.VideoCapture, came: float) -> None:
        if came < self._wanted_from:
            return
        done, pixels = capture.retrieve()
        with self._lock:
            if done and came >= self._wanted_from:
                self._picture, self._wanted_from = np.asarray(pixels, np.uint8), math.inf
                self._here.set()

    def _set_problem(self, problem: str | None) -> None:
        if problem != self._problem:
            log.info("camera", camera=self._name, state=problem or "open")
        self._problem = problem
