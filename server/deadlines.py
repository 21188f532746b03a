"""Deadlines: a line that does not wait gets an answer in time, and never a silent ok.

A station may have a decide-by time (`QC_DECIDE_BY_S`, `QC_DECIDE_BY`), counted from the last byte of its pictures. What
has no verdict by then is recorded as late: an error, and not good. A verdict that is computed later changes nothing:
whoever records first, in one transaction, is right.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable

import structlog

from qc.errors import Unavailable
from qc.records import Inspection
from server import judging
from server.context import Context

log = structlog.get_logger(__name__)

AGAIN_S = 1.0
"""Between two attempts to record that a part is late, where the database is away."""


class Late(Unavailable):
    """No verdict by the decide-by time."""


class Deadlines:
    """Watches over decide-by times in a thread of its own."""

    def __init__(self, context: Context, late: Callable[[Inspection], None]) -> None:
        """
        Args:
            late: told of every inspection that was recorded as late.
        """
        self._context, self._late = context, late
        self._due: dict[str, tuple[float, float, float]] = {}
        """Inspection -> when it is due, when its last byte had come (both `time.perf_counter()`), seconds between."""
        self._order: list[tuple[float, str]] = []
        self._lock = threading.Lock()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
        self._thread.start()

    def watch(self, inspection_id: str, station: str, started: float) -> None:
        """From now on; a station without a decide-by time is left alone.

        Args:
            started: `time.perf_counter()` when the last byte had come.
        """
        seconds = self._context.settings.decide_by_of(station)
        if seconds is None:
            return
        with self._lock:
            self._due[inspection_id] = (started + seconds, started, seconds)
            heapq.heappush(self._order, (started + seconds, inspection_id))
        self._wake.set()

    def forget(self, inspection_id: str) -> None:
        """It is judged."""
        with self._lock:
            self._due.pop(inspection_id, None)

    def left(self, inspection_id: str) -> float | None:
        """Seconds until it is due, below 0 when it is overdue; None without a decide-by time."""
        with self._lock:
            due = self._due.get(inspection_id)
        return None if due is None else due[0] - time.perf_counter()

    def give_up(self, inspection_id: str) -> None:
        """Record it as late, unless it is judged. Raises what the database raises."""
        with self._lock:
            due = self._due.get(inspection_id)
        if due is None:
            return
        _, started, seconds = due
        told = Late(
            f"no verdict within {seconds:g} s, the decide-by time of its station; the part is not good until looked at"
        )
        done = judging.record_failure(
            self._context, inspection_id, told, elapsed_ms=1000 * (time.perf_counter() - started)
        )
        self.forget(inspection_id)
        if done is not None:
            self._context.metrics.late.labels(done.station).inc()
            log.error("late", inspection=inspection_id, part=done.part, station=done.station, seconds=seconds)
            self._late(done)

    def stop(self) -> None:
        """End. What waits is recorded after the next start, when it is overdue."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                first = self._order[0] if self._order else None
            pause = None if first is None else first[0] - time.perf_counter()
            if first is None or (pause is not None and pause > 0):
                self._wake.wait(pause)
                self._wake.clear()
                continue
            try:
                self.give_up(first[1])
            except Exception as error:  # a database that is away: the part is late all the same, say so when it is back
                log.error("a late part could not be recorded", inspection=first[1], exc_info=error)
                self._stop.wait(AGAIN_S)
                continue
            with self._lock:
                self._order.remove(first)  # an earlier one may have come in the meantime, so that it is not the first
                heapq.heapify(self._order)
