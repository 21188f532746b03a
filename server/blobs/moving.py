"""Takes blobs to the far end as soon as they are put, and from this computer when they are old."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from qc.errors import QcError
from server.blobs.near_and_far import NearAndFar

log = structlog.get_logger(__name__)

UPLOADS = 4
"""Uploads side by side: an object store answers one in 50 to 100 ms, a line of cameras makes ten in a second."""
POLL_S = 5.0
"""How often to look for what other processes put (`qc golden`, a training), in seconds."""
PAUSES_S = (2.0, 30.0)
"""Shortest and longest pause while the far end is away, in seconds; each is twice the one before."""
SWEEP_S = 600.0
"""How often to look for what is old, in seconds."""


class Mover:
    """A `server.context.Part`."""

    def __init__(self, blobs: NearAndFar, *, near_hours: float) -> None:
        """Start. `near_hours`: how long bytes stay on this computer after they were stored."""
        self._blobs, self._near_hours = blobs, near_hours
        self._stop, self._wake = threading.Event(), threading.Event()
        self._waiting, self._waiting_bytes = 0, 0
        self._away = ""
        self._swept = float("-inf")
        blobs.put_something = self._wake.set
        self._uploads = ThreadPoolExecutor(UPLOADS, thread_name_prefix="upload")
        self._thread = threading.Thread(target=self._run, name="blobs", daemon=True)
        self._thread.start()

    def state(self) -> dict[str, Any]:
        """For /health: how much only this computer has."""
        told: dict[str, Any] = {
            "state": "ok",
            "store": self._blobs.far.url,
            "waiting": self._waiting,
            "waiting_mb": round(self._waiting_bytes / 1e6, 1),
        }
        if self._away:
            words = f"{self._away}; {self._waiting} pictures and masks wait on this computer and are taken there later"
            told |= {"state": "degraded", "message": words}
        return told

    def stop(self) -> None:
        """End after the uploads at hand."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=10)
        self._uploads.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        pause = PAUSES_S[0]
        while not self._stop.is_set():
            self._wake.clear()
            try:
                moved = self._take_what_waits()
                if time.monotonic() - self._swept >= (SWEEP_S if self._near_hours else 0.0):
                    moved += self._take_what_is_old()
                    self._swept = time.monotonic()
            except (QcError, OSError) as error:
                if not self._away:
                    log.error("blobs cannot be moved", problem=str(error))
                self._away = str(error)
                self._stop.wait(pause)
                pause = min(2 * pause, PAUSES_S[1])
                continue
            if self._away:
                log.info("blobs are moved again", store=self._blobs.far.url)
            self._away, pause = "", PAUSES_S[0]
            if not moved:
                self._wake.wait(POLL_S)

    def _take_what_waits(self) -> int:
        found = self._blobs.waits()
        self._waiting, self._waiting_bytes = len(found), sum(stat.st_size for _, stat in found)
        moved = 0
        problem: Exception | None = None
        for begin in range(0, len(found), UPLOADS):
            if self._stop.is_set():
                return moved
            batch = found[begin : begin + UPLOADS]
            running = [self._uploads.submit(self._blobs.upload, key) for key, _ in batch]
            failed = 0
            for (_, stat), future in zip(batch, running, strict=True):
                try:
                    moved += future.result()
                    self._waiting -= 1
                    self._waiting_bytes -= stat.st_size
                except (QcError, OSError) as error:
                    problem, failed = error, failed + 1
            if failed == len(batch):  # the far end is away; where it refuses one key alone, the others go on
                break
        if problem is not None:
            raise problem
        return moved

    def _take_what_is_old(self) -> int:
        before, moved = time.time() - 3600 * self._near_hours, 0
        for key, stat in self._blobs.lies_near():
            if self._stop.is_set():
                break
            if stat.st_mtime <= before:
                moved += self._blobs.leave(key)
        return moved
