"""Keeps another program running beside the server: starts it, watches it, starts it again when it dies."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import structlog

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 60.0
"""Between two starts; it doubles from the first to the longest."""
STEADY_S = 120.0
"""After running so long the next failure pauses as briefly as the first."""
LOOK_EVERY_S = 2.0


class Child(Protocol):
    """A program that was started and answers."""

    def alive(self) -> bool:
        """Does it still run?"""
        ...

    def stop(self) -> None:
        """End it, and everything it started."""
        ...


class Supervisor:
    """One program, kept running in a thread of its own."""

    def __init__(
        self,
        name: str,
        start: Callable[[threading.Event], Child],
        *,
        ready: Callable[[], None] = lambda: None,
        first_pause: float = FIRST_PAUSE_S,
        look_every: float = LOOK_EVERY_S,
    ) -> None:
        """
        Args:
            start: starts the program and returns once it answers; gives up early when the event is set.
            ready: called after each start, in the supervisor's thread; what it raises counts as a failed start.
            first_pause: seconds after the first failure.
            look_every: seconds between two looks at the program.
        """
        self.name = name
        self._start, self._ready = start, ready
        self._first_pause, self._look_every = first_pause, look_every
        self._stop = threading.Event()
        self._state, self._message, self._starts = "starting", f"{name} is starting", 0
        self._thread = threading.Thread(target=self._run, name=f"supervise-{name}", daemon=True)

    def begin(self) -> None:
        """Start the program, in the background."""
        self._thread.start()

    def state(self) -> dict[str, Any]:
        """For /health."""
        return {"state": self._state, "message": self._message, "starts": self._starts}

    def stop(self, *, patience: float = 20.0) -> None:
        """End the program."""
        self._stop.set()
        self._thread.join(patience)

    def _run(self) -> None:
        pause = self._first_pause
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                self._once()
            except Exception as error:  # whatever a foreign program does, the server goes on inspecting
                self._state, self._message = "failed", str(error) or type(error).__name__
                log.error("child failed", child=self.name, problem=self._message)
            if time.monotonic() - begun > STEADY_S:
                pause = self._first_pause
            if self._stop.wait(pause):
                return
            pause = min(2 * pause, LONGEST_PAUSE_S)
            self._state, self._message = "starting", f"{self.name} is starting again"

    def _once(self) -> None:
        self._starts += 1
        child = self._start(self._stop)
        try:
            self._ready()
            self._state, self._message = "ok", ""
            log.info("child runs", child=self.name, starts=self._starts)
            while not self._stop.wait(self._look_every):
                if not child.alive():
                    raise RuntimeError(f"{self.name} ended by itself; it is started again")
        finally:
            child.stop()
