"""Strangers' questions are answered with what the line leaves over.

One thread of low priority, and a short queue: who finds it full, or waits too long for the line, is told to come back
(503 with `Retry-After`). Between two windows of a frame the thread lets a part of the line go first, so that a part
waits for one window of the network at most.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from qc.errors import Unavailable
from server.context import Context
from server.onlooker import IDLE_S

T = TypeVar("T")

NICENESS = 15
"""Priority of its thread below that of the line: the scheduler gives it what is left."""

MOST_WAITING = 4
"""Requests taken in at once. Each may hold a frame of 200 Mpx, so that they need 2.4 GB at the very most."""

PATIENCE_S = 20.0
"""How long one request gives way to the line, in all; a client's own patience is rarely longer than a minute."""

Pause = Callable[[], None]
"""To be called before each piece of work; raises Unavailable when the line has no room for too long."""


class Spare:
    """Does others' work beside the line. A `server.context.Part`."""

    def __init__(self, context: Context, *, patience_s: float = PATIENCE_S) -> None:
        self._context, self._patience_s = context, patience_s
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="open-inference", initializer=_step_back)
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._taken = self.answered = self.shed = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue; raises Unavailable when there is none."""
        with self._lock:
            if self._taken >= MOST_WAITING:
                self.shed += 1
                raise Unavailable(
                    f"{MOST_WAITING} requests wait already; send this one again in a moment", retry_after_s=1
                )
            self._taken += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken -= 1

    async def run(self, work: Callable[[Pause], T]) -> T:
        """Do it when its turn comes; raises what it raises, and Unavailable while the line needs the machine."""
        try:
            return await asyncio.wrap_future(self._worker.submit(self._do, work))
        except (RuntimeError, CancelledError) as error:
            if self._stop.is_set():
                raise Unavailable("the server stops; send it again when it is back", retry_after_s=5) from error
            raise

    def _do(self, work: Callable[[Pause], T]) -> T:
        waited = 0.0

        def pause() -> None:
            nonlocal waited
            began = time.monotonic()
            if self._stop.is_set():
                raise Unavailable("the server stops; send the request again when it is back", retry_after_s=5)
            while self._context.inspector is not None and self._context.inspector.busy:
                if waited + time.monotonic() - began > self._patience_s or self._stop.wait(IDLE_S):
                    self.shed += 1
                    raise Unavailable("the line needs this machine now; send the request again later", retry_after_s=5)
            waited += time.monotonic() - began

        pause()
        done = work(pause)
        self.answered += 1
        return done

    def state(self) -> dict[str, Any]:
        """For /health; the line does not need it."""
        return {"state": "ok", "waiting": self._taken, "answered": self.answered, "shed": self.shed}

    def stop(self) -> None:
        """Finish the window at hand."""
        self._stop.set()
        self._worker.shutdown(wait=True, cancel_futures=True)


def _step_back() -> None:
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)  # on Linux: of this thread alone


def start(context: Context) -> Spare | None:
    """A line in `server.parts.PARTS`."""
    return Spare(context) if context.settings.open_inference else None
