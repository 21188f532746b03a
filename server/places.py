"""Who may take a part in now: so many at a time, and each trigger by one thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qc.errors import Unavailable


class Places:
    """Places in the queue of parts; for any thread."""

    def __init__(self, limit: int) -> None:
        self._limit, self._lock = limit, threading.Lock()
        self._coming: dict[tuple[str, str], threading.Event] = {}
        """Station and trigger of what is being taken in."""
        self.taking = 0
        """Parts that are being taken in."""

    @contextmanager
    def place(self, waiting: int, refused: Callable[[], None]) -> Iterator[None]:
        """A place beside `waiting` parts. Raises Unavailable, with the seconds to wait, when there is none, and calls
        `refused`."""
        with self._lock:
            if self.taking + waiting >= self._limit:
                refused()
                raise Unavailable(f"{self._limit} parts wait already; send this one again in a moment", retry_after_s=1)
            self.taking += 1
        try:
            yield
        finally:
            with self._lock:
                self.taking -= 1

    @contextmanager
    def once(self, station: str, trigger_id: str | None) -> Iterator[None]:
        """One thread at a time takes a trigger of a station in; the others wait, and find it known."""
        if trigger_id is None:
            yield
            return
        key = (station, trigger_id)
        while True:
            with self._lock:
                other = self._coming.get(key)
                if other is None:
                    over = self._coming[key] = threading.Event()
                    break
            other.wait()
        try:
            yield
        finally:
            with self._lock:
                del self._coming[key]
            over.set()
