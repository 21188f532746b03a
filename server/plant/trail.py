"""What a PLC was told goes into the audit trail, each result once, however long the database is away."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import structlog

from server import audit
from server.context import Context
from server.plant import handshake
from server.plant.handshake import Fault, Reply
from server.plant.memory import Entry, forget_noted, note, note_instead, noted, told

log = structlog.get_logger(__name__)

UNTOLD = 10_000
"""Results that wait for their entry in the trail while the database is away; beyond that the oldest are dropped."""

AT_THE_END = 200
"""Results that a station which stops still tells, a second or less; the rest waits on disk for its next start."""


class Trail:
    """Results of a station on their way into the trail. Any thread may `add` and `tell`."""

    def __init__(self, station: str, context: Context, memory: Path) -> None:
        """`memory`: the station's file, beside which results lie while the database is away."""
        self._station, self._context, self._memory = station, context, memory
        self._untold: deque[Entry] = deque(noted(memory))
        self._tried: Entry | None = None
        """Its entry may lie in the trail already: a commit that failed for us may have been done."""
        self.noted = len(self._untold)
        """How many of those that wait, from the first on, are on disk."""
        self._is_noted = bool(self._untold)
        self._telling = threading.Lock()
        self._ending = False

    @property
    def waiting(self) -> int:
        """Results that are not in the trail yet."""
        return len(self._untold)

    def add(self, reply: Reply) -> None:
        """A result that the PLC has or is about to get; quick."""
        self._untold.append(Entry(reply.inspection or self._station, told(self._station, reply)))

    def tell(self, keep: Callable[[], None]) -> None:
        """Write into the trail what waits. What it does not take is put on disk, and tried again the next time.

        Args:
            keep: puts on disk the number of triggers, which no entry may be ahead of.
        """
        with self._telling:
            while self._untold and not self._ending:
                if not self._told_first(keep):
                    return

    def stop(self) -> None:
        """Whoever tells ends after the result at hand."""
        self._ending = True

    def end(self, keep: Callable[[], None]) -> None:
        """Tell some of what still waits, and put the rest on disk.

        Args:
            keep: as for `tell`.
        """
        with self._telling:
            for _ in range(min(len(self._untold), AT_THE_END)):
                if not self._told_first(keep):
                    return
            if self.noted < len(self._untold):
                self._note()

    def forget(self, part: str) -> None:
        """A part was erased: what waits is told without its name. Raises OSError; may be done again."""
        with self._telling:
            for place, entry in enumerate(list(self._untold)):
                self._untold[place] = entry.without(part)
            if self._is_noted:
                note_instead(self._memory, list(self._untold)[: self.noted])

    def _told_first(self, keep: Callable[[], None]) -> bool:
        """Write the first into the trail; whether that was possible."""
        entry = self._untold[0]
        try:
            keep()
            self._record(entry)
        except Exception as error:  # a database that is away: the PLC has its result
            log.error("a PLC's result is not in the trail yet", station=self._station, told=entry.body, exc_info=error)
            self._note()
            return False
        fault = Fault[entry.body["fault"].upper()]
        if fault != Fault.NONE:
            log.warning("PLC error", station=self._station, told=entry.body, words=handshake.WORDS[fault])
        self._drop_first()
        self._forget()
        return True

    def _record(self, entry: Entry) -> None:
        with self._context.database.write() as session:
            again = entry is self._tried or entry.noted
            if again and audit.has(session, "plc.result", entry.subject, entry.body):
                return
            self._tried = entry
            by, at = self._station, self._context.now()
            audit.record(session, "plc.result", entry.subject, entry.body, by=by, at=at)
            session.commit()

    def _drop_first(self) -> None:
        self._untold.popleft()
        self.noted -= bool(self.noted)

    def _forget(self) -> None:
        """What was written down for the trail stands in it."""
        if not self._is_noted or self._untold:
            return
        try:
            forget_noted(self._memory)
            self._is_noted = False
        except OSError as error:  # it is compared with the trail before it is told again
            log.error("what stands in the trail stays on disk", station=self._station, exc_info=error)

    def _note(self) -> None:
        """Write down what the trail does not hold yet; beyond `UNTOLD` the oldest are dropped."""
        while len(self._untold) > UNTOLD:
            self._drop_first()
        waiting = list(self._untold)
        try:
            self._is_noted = True
            note(self._memory, waiting[self.noted :])
            self.noted = len(waiting)
        except OSError as error:  # the disk is away, too; tried again with the next one
            log.error("what a PLC was told is in memory alone", station=self._station, exc_info=error)
