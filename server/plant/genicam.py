"""GenICam cameras through any GenTL producer (harvesters): GigE Vision, USB3 Vision, CoaXPress, Camera Link HS.

::

    cameras:
      - view: top
        genicam:
          producer: /opt/vendor/lib/producer.cti     # the vendor's GenTL producer
          device: "40123456"                         # serial number, id or model; may be left out where there is one
          trigger: software                          # software | hardware | free-run
          features: {PixelFormat: Mono12, ExposureTime: 350.0, Gain: 2.0}

A camera that is gone is looked for again by itself. Pictures are kept as uncompressed TIFF: every bit the sensor gave,
at the cost of disk. A camera that was switched on after the first one of its producer was opened is found once the
server starts again. Packed pixel formats are unpacked by the producer or refused.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from genicam.genapi import GenericException as FeatureError
from genicam.gentl import GenericException as TransportError
from harvesters.core import Callback, Harvester, ImageAcquirer
from harvesters.core import TimeoutException as TookTooLong

from qc.errors import InvalidInput, Unavailable
from server.orders import Picture
from server.plant.config import GenICamConfig, Trigger
from server.plant.pixels import Pixels, as_tiff, pixels_of
from server.plant.sources import NoPicture, Wanted, always

log = structlog.get_logger(__name__)

AGAIN_S = 2.0
"""Between two attempts to open a camera, in seconds."""
LOOK_S = 1e-3
"""How long to wait for a frame that may lie in a queue, in seconds."""
SLICE_S = 0.05
"""How long to wait for a frame before asking whether anybody still wants it, in seconds."""
MOST_QUEUED = 64
"""Frames that may lie in a queue; a free-running camera that is faster than we are must not hold us up."""


@dataclass
class _Producer:
    """A GenTL producer: a library that a process can open once, for all of its cameras."""

    harvester: Harvester
    users: int = 0


@dataclass
class _Producers:
    """The open producers of this process."""

    open: dict[Path, _Producer] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def create(self, file: Path, device: str | None) -> ImageAcquirer:
        """Open a camera; raises Unavailable, naming the cameras that are there."""
        with self.lock:
            if not file.is_file():
                raise Unavailable(
                    f"there is no GenTL producer {file}; install the camera vendor's, and name its .cti file"
                )
            producer = self.open.get(file)
            if producer is None:
                producer = self.open[file] = _Producer(Harvester())
                producer.harvester.add_file(str(file), check_existence=True, check_validity=True)
            try:
                if not producer.users:  # looking for cameras takes those away that are open
                    producer.harvester.update()
                acquirer = producer.harvester.create(_choose(producer.harvester.device_info_list, device))
            except BaseException:
                self._leave(file, producer)
                raise
            producer.users += 1
            return acquirer

    def destroy(self, file: Path, acquirer: ImageAcquirer) -> None:
        """Close a camera, and the producer with its last one."""
        with self.lock:
            try:
                acquirer.destroy()
            finally:
                producer = self.open[file]
                producer.users -= 1
                self._leave(file, producer)

    def _leave(self, file: Path, producer: _Producer) -> None:
        if not producer.users:
            del self.open[file]
            producer.harvester.reset()


_producers = _Producers()


class _Count(Callback):  # type: ignore[misc]
    """Counts what the transport lost a part of."""

    def __init__(self, source: GenICamSource) -> None:
        super().__init__()
        self._source = source

    def emit(self, context: object) -> None:
        self._source.incomplete += 1
        log.warning("camera", camera=self._source.view, state="a frame came incomplete and was passed over")


class GenICamSource:
    """One GenICam camera as a station's source; a `server.plant.sources.Source`."""

    def __init__(self, view: str, config: GenICamConfig) -> None:
        self.view, self._config = view, config
        self._camera: ImageAcquirer | None = None
        self._problem: str | None = "it has not been opened yet"
        self._tried = -AGAIN_S
        self._lock = threading.Lock()
        self.incomplete = 0
        """Frames that the transport lost a part of."""

    @property
    def lost(self) -> int:
        """Frames of which the transport lost a part."""
        return self.incomplete

    @property
    def unasked(self) -> bool:
        """A wire triggers it, not the station."""
        return self._config.trigger is Trigger.HARDWARE

    def arm(self) -> None:
        """Throw away what lies in the camera's queue."""
        with self._lock:
            if self._camera is not None:
                self._drain(self._camera)

    def picture(self, within_s: float, wanted: Wanted = always) -> Picture:
        with self._lock:
            if self._camera is None:
                raise NoPicture(f"{self._name}: {self._problem}")
            try:
                pixels = self._grab(self._camera, within_s, wanted)
            except TookTooLong as error:
                raise NoPicture(f"{self._name} gave no frame within {within_s:.2f} s; is it triggered?") from error
            except (TransportError, FeatureError, LookupError, AttributeError, OSError) as error:
                # harvesters stumbles in these ways over a camera that has gone
                self._close(f"it is gone ({error})")
                raise NoPicture(f"{self._name} is gone: {error}") from error
        return Picture(as_tiff(pixels), "frame.tiff", self.view)

    def stored(self) -> None:
        """There is nothing to clear away."""

    def surplus(self) -> int:
        """Frames that a wire triggered besides; other triggers drop what came besides before they take the next."""
        with self._lock:
            return self._drain(self._camera) if self.unasked and self._camera is not None else 0

    def lying(self) -> int:
        """0: a queue cannot be looked into without taking the frames out."""
        return 0

    def problem(self) -> str | None:
        with self._lock:
            if self._camera is None and time.monotonic() - self._tried > AGAIN_S:
                self._tried = time.monotonic()
                self._open()
            return self._problem and f"{self._name}: {self._problem}"

    def close(self) -> None:
        """Let the camera go."""
        with self._lock:
            self._close("it was closed")

    @property
    def _name(self) -> str:
        return f"the camera {self._config.device or self._config.producer.name}"

    def _open(self) -> None:
        try:
            camera = _producers.create(self._config.producer, self._config.device)
        except (Unavailable, TransportError, OSError) as error:
            self._problem = error.message if isinstance(error, Unavailable) else f"it cannot be opened ({error})"
            return
        try:
            self._set_up(camera)
            camera.add_callback(ImageAcquirer.Events.INCOMPLETE_BUFFER, _Count(self))
            camera.start()
        except (TransportError, FeatureError, InvalidInput) as error:
            _producers.destroy(self._config.producer, camera)
            self._problem = error.message if isinstance(error, InvalidInput) else f"it cannot be set up ({error})"
            return
        self._camera, self._problem = camera, None
        log.info("camera", camera=self._name, state="open")

    def _set_up(self, camera: ImageAcquirer) -> None:
        features = camera.remote_device.node_map
        wanted: dict[str, Any] = dict(self._config.features)
        if self._config.trigger is not Trigger.FREE_RUN:
            source = {"TriggerSource": "Software"} if self._config.trigger is Trigger.SOFTWARE else {}
            wanted = {"TriggerSelector": "FrameStart", "TriggerMode": "On", **source, **wanted}
        for name, value in wanted.items():
            if not features.has_node(name):
                raise InvalidInput(f"it has no feature {name}; see its manual, or set `trigger: free-run` without one")
            try:
                getattr(features, name).value = value
            except (FeatureError, TypeError, AttributeError) as error:
                raise InvalidInput(f"it does not take {name} = {value!r} ({error})") from error

    def _grab(self, camera: ImageAcquirer, within_s: float, wanted: Wanted) -> Pixels:
        if self._config.trigger is not Trigger.HARDWARE:
            self._drain(camera)
        if self._config.trigger is Trigger.SOFTWARE:
            camera.remote_device.node_map.TriggerSoftware.execute()
        until = time.monotonic() + max(within_s, LOOK_S)
        while wanted():
            left = until - time.monotonic()
            try:  # what the transport lost a part of is passed over
                with camera.fetch(timeout=min(max(left, LOOK_S), SLICE_S)) as buffer:
                    part = buffer.payload.components[0]
                    return pixels_of(np.array(part.data), part.width, part.height, str(part.data_format))
            except TookTooLong:
                if left <= SLICE_S:
                    raise
        raise NoPicture("nobody waits for the picture any more")

    def _drain(self, camera: ImageAcquirer) -> int:
        """Throws away what lies in the queue; returns how many frames it was."""
        for count in range(MOST_QUEUED):
            buffer = camera.try_fetch(timeout=LOOK_S)
            if buffer is None:
                return count
            buffer.queue()
        return MOST_QUEUED

    def _close(self, problem: str) -> None:
        camera, self._camera, self._problem = self._camera, None, problem
        if camera is None:
            return
        log.warning("camera", camera=self._name, state=problem)
        try:
            _producers.destroy(self._config.producer, camera)
        except (TransportError, FeatureError, AttributeError) as error:  # what is gone cannot be closed properly
            log.warning("camera", camera=self._name, state=f"closed with an error: {error}")


def _choose(devices: list[Any], wanted: str | None) -> int:
    told = [f"{d.display_name} (serial number {d.serial_number})" for d in devices]
    if wanted is None and len(devices) == 1:
        return 0
    chosen = [n for n, d in enumerate(devices) if wanted in (d.serial_number, d.id_, d.model)]
    if len(chosen) == 1:
        return chosen[0]
    there = f"; there were, when its first camera was opened: {', '.join(told)}" if told else "; it offers none"
    raise Unavailable(f"the producer offers {len(chosen)} cameras for {wanted or 'no name'}{there}")
