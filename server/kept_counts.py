"""What is counted from very many rows, and asked for by every open page: of a process, of a challenger's proof.

It is counted anew when rows are new: at once while they are few; where they are many, beside the requests and for at
most `SHARE` of the time, while the last count is told. So a page about hundreds of thousands of rows is there as soon
as one about hundreds, and behind by at most the time between two counts. Only the first count after a start is waited
for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from sqlmodel import Session

from server.db import Database

log = structlog.get_logger(__name__)

FEW = 2000
"""Rows that are counted while a request waits: a tenth of a second."""
SHARE = 0.05
"""Of the time, for counting more."""

Counted = TypeVar("Counted")


@dataclass
class _Kept:
    rows: Hashable
    answer: Any
    took_s: float
    ended: float
    counting: bool = False


class KeptCounts:
    """Counts by what they are of. Safe to share between threads."""

    def __init__(self, *, few: int = FEW, share: float = SHARE, clock: Callable[[], float] = time.monotonic) -> None:
        self.few, self._share, self._clock = few, share, clock
        self._kept: dict[Hashable, _Kept] = {}
        self._forgotten = 0
        """How often everything was forgotten."""
        self._lock, self._at_once = threading.Lock(), threading.Lock()

    def told(
        self, of: Hashable, rows: Hashable, number: int, database: Database, count: Callable[[Session], Counted]
    ) -> Counted:
        """The count of what there is now, or the last one where that is much.

        Args:
            of: what is counted.
            rows: another value says that there are other rows.
            number: of them.
            count: called here or in a thread of its own, with a session that only looks.
        """
        with self._lock:
            kept = self._kept.get(of)
            if kept is not None and kept.rows != rows and number > self.few:
                rested = self._clock() - kept.ended >= kept.took_s * (1 / self._share - 1)
                if rested and not kept.counting:
                    kept.counting = True
                    work = (of, rows, database, count)
                    threading.Thread(target=self._count_beside, args=work, name="kept-counts", daemon=True).start()
                rows = kept.rows
        if kept is None or kept.rows != rows:
            with self._at_once:  # whoever asks for the same meanwhile waits, instead of counting it too
                kept = self._kept.get(of)
                if kept is None or kept.rows != rows:
                    return self._count(of, rows, database, count)
        found: Counted = kept.answer
        return found

    def forget(self) -> None:
        """Rows were erased: nothing that was counted with them is told again; who asks next waits for a new count."""
        with self._lock:
            self._kept.clear()
            self._forgotten += 1

    def _count_beside(self, of: Hashable, rows: Hashable, database: Database, count: Callable[[Session], Any]) -> None:
        try:
            self._count(of, rows, database, count)
        except Exception as error:  # the next request after a rest tries again
            log.error("what many rows say could not be counted", of=of, exc_info=error)
            with self._lock:
                if (kept := self._kept.get(of)) is not None:
                    kept.counting, kept.ended = False, self._clock()

    def _count(self, of: Hashable, rows: Hashable, database: Database, count: Callable[[Session], Counted]) -> Counted:
        began, forgotten = self._clock(), self._forgotten
        with database.read() as session:
            answer = count(session)
        ended = self._clock()
        with self._lock:
            if forgotten == self._forgotten:
                self._kept[of] = _Kept(rows, answer, ended - began, ended)
        return answer
