"""GigE Vision and USB3 Vision cameras through Aravis: no vendor's GenTL producer is needed.

::

    cameras:
      - view: top
        aravis:
          device: "192.168.1.22"                     # address, or id as Aravis lists it; left out: the only one
          trigger: software                          # software | hardware | free-run
          features: {PixelFormat: Mono12, ExposureTime: 350.0, Gain: 2.0}

A feature set to what the camera does not allow keeps it closed, and says the limit. A camera that is gone is looked for
again by itself. Frames of which a packet was lost are asked for again by Aravis,
then passed over and counted. Pictures are kept as uncompressed TIFF: every bit the sensor gave.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
import structlog

from qc.errors import InvalidInput, Unavailable
from server.orders import Picture
from server.plant.aravis_library import CHECK_RANGES, SUCCESS, AravisError, Frame, Library, library
from server.plant.config import AravisConfig, Trigger
from server.plant.pixels import Pixels, as_tiff, pixels_of
from server.plant.sources import NoPicture, Wanted, always

log = structlog.get_logger(__name__)

AGAIN_S = 2.0
"""Between two attempts to open a camera, in seconds."""
ASK_S = 1.0
"""Between two questions to a camera whether it is there, in seconds."""
SLICE_S = 0.05
"""How long to wait for a frame before asking whether anybody still wants it, in seconds."""
BUFFERS = 8
"""Frames that may be on their way at once."""

FORMATS = {
    0x01080001: "Mono8",
    0x01100003: "Mono10",
    0x01100005: "Mono12",
    0x01100025: "Mono14",
    0x01100007: "Mono16",
    0x02180014: "RGB8",
    0x02180015: "BGR8",
    **{0x01080008 + n: f"Bayer{order}8" for n, order in enumerate(("GR", "RG", "GB", "BG"))},
    **{0x0110000C + n: f"Bayer{order}10" for n, order in enumerate(("GR", "RG", "GB", "BG"))},
    **{0x01100010 + n: f"Bayer{order}12" for n, order in enumerate(("GR", "RG", "GB", "BG"))},
    **{0x0110002E + n: f"Bayer{order}16" for n, order in enumerate(("GR", "RG", "GB", "BG"))},
}
"""Number of a pixel format -> its name, by the PFNC; packed formats are not among them."""


@dataclass(frozen=True, slots=True)
class _Open:
    """A camera that delivers."""

    library: Library
    camera: int
    stream: int


class AravisSource:
    """One camera as a station's source; a `server.plant.sources.Source`."""

    def __init__(self, view: str, config: AravisConfig) -> None:
        self.view, self._config = view, config
        self._open: _Open | None = None
        self._problem: str | None = "it has not been opened yet"
        self._tried = self._asked = -AGAIN_S
        self._lost_before = 0
        self._lock = threading.Lock()

    @property
    def unasked(self) -> bool:
        """A wire triggers it, not the station."""
        return self._config.trigger is Trigger.HARDWARE

    @property
    def lost(self) -> int:
        """Frames that were lost or damaged on their way, or that a trigger asked for and no buffer was free for."""
        with self._lock:
            return self._lost_before + (self._failures(self._open) if self._open else 0)

    def arm(self) -> None:
        """Throw away what lies in the queue."""
        with self._lock:
            if self._open is not None:
                _drain(self._open)

    def picture(self, within_s: float, wanted: Wanted = always) -> Picture:
        with self._lock:
            if self._open is None:
                raise NoPicture(f"{self._name}: {self._problem}")
            try:
                frame = self._grab(self._open, within_s, wanted)
            except AravisError as error:
                self._close(f"it is gone ({error})", gone=True)
                raise NoPicture(f"{self._name} is gone: {error}") from error
        return Picture(as_tiff(_pixels(frame)), "frame.tiff", self.view)

    def stored(self) -> None:
        """There is nothing to clear away."""

    def surplus(self) -> int:
        """Frames that a wire triggered besides; other triggers drop what came besides before they take the next."""
        with self._lock:
            return _drain(self._open) if self.unasked and self._open is not None else 0

    def lying(self) -> int:
        """0: a queue cannot be looked into without taking the frames out."""
        return 0

    def problem(self) -> str | None:
        with self._lock:
            now = time.monotonic()
            if self._open is None and now - self._tried > AGAIN_S:
                self._tried = now
                self._try_to_open()
            elif self._open is not None and now - self._asked > ASK_S:
                self._asked = now
                self._ask(self._open)
            return self._problem and f"{self._name}: {self._problem}"

    def close(self) -> None:
        """Let the camera go."""
        with self._lock:
            self._close("it was closed")

    @property
    def _name(self) -> str:
        return f"the camera {self._config.device or 'of Aravis'}"

    def _failures(self, now: _Open) -> int:
        """Of a camera that sends all the time, what comes while nobody takes it finds no buffer, and is no loss."""
        failed, starved = now.library.failures(now.stream)
        return failed if self._config.trigger is Trigger.FREE_RUN else failed + starved

    def _try_to_open(self) -> None:
        try:
            aravis = library()
            name = None if self._config.device is None else self._config.device.encode()
            camera = aravis.call("camera_new", name)
            aravis.call("camera_set_range_check_policy", camera, CHECK_RANGES)
        except Unavailable as error:
            self._problem = error.message
            return
        except AravisError as error:
            self._problem = f"it cannot be opened ({error}); those that answer: {', '.join(aravis.devices()) or 'none'}"
            return
        try:
            self._set_up(aravis, camera)
            stream = aravis.call("camera_create_stream", camera, None, None)
            payload = aravis.call("camera_get_payload", camera)
            for _ in range(BUFFERS):
                aravis.call("stream_push_buffer", stream, aravis.call("buffer_new_allocate", payload))
            aravis.call("camera_start_acquisition", camera)
        except (AravisError, InvalidInput) as error:
            aravis.forget(camera)
            self._problem = error.message if isinstance(error, InvalidInput) else f"it cannot be set up ({error})"
            return
        self._open, self._problem = _Open(aravis, camera, stream), None
        log.info("camera", camera=self._name, state="open")

    def _set_up(self, aravis: Library, camera: int) -> None:
        features: dict[str, str | int | float | bool] = {"AcquisitionMode": "Continuous", "TriggerMode": "Off"}
        if self._config.trigger is not Trigger.FREE_RUN:
            source = {"TriggerSource": "Software"} if self._config.trigger is Trigger.SOFTWARE else {}
            features |= {"TriggerSelector": "FrameStart", "TriggerMode": "On", **source}
        elif not aravis.call("camera_is_feature_available", camera, b"TriggerMode"):
            del features["TriggerMode"]
        for name, value in {**features, **self._config.features}.items():
            if not aravis.call("camera_is_feature_available", camera, name.encode()):
                raise InvalidInput(f"it has no feature {name}; see its manual, or set `trigger: free-run` without one")
            try:
                _set(aravis, camera, name.encode(), value)
            except AravisError as error:
                raise InvalidInput(f"it does not take {name} = {value!r} ({error})") from error

    def _ask(self, now: _Open) -> None:
        try:
            now.library.call("camera_get_integer", now.camera, b"Width")
        except AravisError as error:
            self._close(f"it is gone ({error})", gone=True)

    def _grab(self, now: _Open, within_s: float, wanted: Wanted) -> Frame:
        if self._config.trigger is not Trigger.HARDWARE:
            _drain(now)
        if self._config.trigger is Trigger.SOFTWARE:
            now.library.call("camera_execute_command", now.camera, b"TriggerSoftware")
        until = time.monotonic() + within_s
        while wanted():
            left_s = until - time.monotonic()
            buffer = now.library.call(
                "stream_timeout_pop_buffer", now.stream, int(1e6 * min(max(left_s, 1e-3), SLICE_S))
            )
            if buffer:
                whole = now.library.call("buffer_get_status", buffer) == SUCCESS
                frame = now.library.frame(buffer) if whole else None
                now.library.call("stream_push_buffer", now.stream, buffer)
                if frame is not None:
                    return frame
            elif left_s <= SLICE_S:
                raise NoPicture(f"{self._name} gave no frame within {within_s:.2f} s; is it triggered?")
        raise NoPicture("nobody waits for the picture any more")

    def _close(self, problem: str, *, gone: bool = False) -> None:
        now, self._open, self._problem = self._open, None, problem
        if now is None:
            return
        log.warning("camera", camera=self._name, state=problem)
        self._lost_before += self._failures(now)
        if not gone:  # asking a camera that is gone to stop takes seconds
            try:
                now.library.call("camera_stop_acquisition", now.camera)
            except AravisError as error:
                log.warning("camera", camera=self._name, state=f"closed with an error: {error}")
        now.library.forget(now.stream)
        now.library.forget(now.camera)


def _set(aravis: Library, camera: int, name: bytes, value: str | int | float | bool) -> None:
    """Set a feature by the type of its value."""
    if isinstance(value, bool):
        aravis.call("camera_set_boolean", camera, name, value)
    elif isinstance(value, int):
        aravis.call("camera_set_integer", camera, name, value)
    elif isinstance(value, float):
        aravis.call("camera_set_float", camera, name, value)
    else:
        aravis.call("camera_set_string", camera, name, value.encode())


def _drain(now: _Open) -> int:
    """Throws away what lies in the queue; returns how many frames it was."""
    count = 0
    while count < BUFFERS and (buffer := now.library.call("stream_try_pop_buffer", now.stream)):
        now.library.call("stream_push_buffer", now.stream, buffer)
        count += 1
    return count


def _pixels(frame: Frame) -> Pixels:
    name = FORMATS.get(frame.pixel_format)
    if name is None:
        raise NoPicture(f"pixel format {frame.pixel_format:#010x} is not understood; choose Mono8, Mono12 or RGB8")
    deep = not name.endswith("8")
    channels = 3 if name in ("RGB8", "BGR8") else 1
    data = np.frombuffer(frame.data, np.uint16 if deep else np.uint8)
    return pixels_of(data[: frame.width * frame.height * channels], frame.width, frame.height, name)
