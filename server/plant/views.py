"""The cameras of one station, asked at the same time: a part that moves is elsewhere a moment later."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from server.orders import Picture
from server.plant.sources import Source, Wanted, always

Ask = Callable[[Source, Wanted], Picture]
"""Asks a camera; it may give up once nobody wants the picture any more."""


class Views:
    """Asks every camera on a thread of its own; `close` it."""

    def __init__(self, sources: Sequence[Source], *, name: str = "") -> None:
        self._sources = sources
        self._threads = ThreadPoolExecutor(max(len(sources), 1), thread_name_prefix=f"plc-{name}-view")
        self.apart_ms = 0.0
        """How long after the first camera the last one was asked for the last part's pictures."""

    def pictures(self, ask: Ask) -> list[Picture]:
        """One picture of each camera, in the cameras' order.

        Raises what the first camera to fail says; the others are not waited for longer than they need to give up.
        """
        if len(self._sources) == 1:
            return [ask(self._sources[0], always)]
        failures: list[Exception] = []

        def one(source: Source) -> tuple[float, Picture | None]:
            asked = time.perf_counter()
            try:
                return asked, ask(source, lambda: not failures)
            except Exception as error:  # the first one is raised below, when the others have given up, too
                failures.append(error)
                return asked, None

        told = [each.result() for each in [self._threads.submit(one, source) for source in self._sources]]
        if failures:
            raise failures[0]
        times = [asked for asked, _ in told]
        self.apart_ms = 1000 * (max(times) - min(times))
        return [picture for _, picture in told if picture is not None]

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True)
