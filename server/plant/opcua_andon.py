"""What lights a station's andon: the alarms that nobody has closed, of the station and of the whole installation.

A thread of its own reads them every second, so that a database that is away holds up no client; meanwhile what was lit
stays lit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from server import alarms
from server.context import Context
from server.outbound.messages import cell_of_alarm

log = structlog.get_logger(__name__)

LOOK_S = 1.0
"""Between two looks at the alarms, in seconds."""


class Andon:
    """The open alarms by station; `stop` it."""

    def __init__(self, context: Context, changed: Callable[[], None]) -> None:
        """
        Args:
            changed: called, on the thread that looks, when what is lit has changed.
        """
        self._context, self._changed = context, changed
        self._lit: tuple[tuple[str, str], ...] = ()
        self._is_away = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="opcua-andon", daemon=True)
        self._thread.start()

    def lit(self, station: str) -> list[str]:
        """What the open alarms of a station, and those of no station, say; newest first."""
        return [message for cell, message in self._lit if cell in ("", station)]

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._look()
            self._stop.wait(LOOK_S)

    def _look(self) -> None:
        try:
            with self._context.database.read() as session:
                lit = tuple((cell_of_alarm(a.kind, a.station), a.message) for a in alarms.open_ones(session))
            self._is_away = False
        except Exception as error:  # a database that is away: what was lit before stays lit
            if not self._is_away:
                log.error("the alarms for OPC UA cannot be read", problem=str(error))
            self._is_away = True
            return
        if lit != self._lit:
            self._lit = lit
            self._changed()
