"""How long something usually takes, from how long it took."""

from __future__ import annotations

import statistics
import threading
from collections import deque

REMEMBERED = 16
"""So many of the last times count."""

MARGIN = 1.5
"""What is set aside beyond the usual time, as a factor: half of all times lie above the median."""


class Pace:
    """Seconds a pixel, of the last times. May be used from several threads at once."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=REMEMBERED)
        self._lock = threading.Lock()

    def took(self, pixels: int, seconds: float) -> None:
        """It was done once."""
        with self._lock:
            self._times.append(seconds / max(pixels, 1))

    def need(self, pixels: int) -> float:
        """Seconds to set aside for so many pixels; 0 where nothing is known."""
        with self._lock:
            return MARGIN * pixels * statistics.median(self._times) if self._times else 0.0

    def forget_one(self) -> None:
        """Forget the oldest time: who is passed over for having been slow is tried again some day."""
        with self._lock:
            if self._times:
                self._times.popleft()
