"""What is counted from very many rows, and asked for by every open page: of a process, of a challenger's proof.

It is counted anew when rows are new: at once while they are few; where they are many, beside the requests and for at
most `SHARE` of the time, while the last count is told. So a page about hundreds of thousands of rows is there as soon
as one about hundreds, and behind by at most the time between two counts. The first count after a start is waited for,
unless its kind is kept in a file, as what takes minutes is.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError
from sqlmodel import Session

from qc.durable import write_whole
from server.db import Database

log = structlog.get_logger(__name__)

FEW = 2000
"""Rows that are counted while a request waits: a tenth of a second."""
SHARE = 0.05
"""Of the time, for counting more."""
LONG_S = 1.0
"""A count that took so many seconds is kept over a start."""

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

    def __init__(
        self,
        folder: Path | None = None,
        *,
        few: int = FEW,
        share: float = SHARE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            folder: where counts lie over a start, one file for each; None: nowhere.
            few: rows; up to so many are counted while a request waits.
            share: of the time, for counting more.
        """
        self._folder, self.few, self._share, self._clock = folder, few, share, clock
        self._kept: dict[Hashable, _Kept] = {}
        self._forgotten = 0
        """How often everything was forgotten."""
        self._lock, self._at_once = threading.Lock(), threading.Lock()

    def told(
        self,
        of: Hashable,
        rows: Hashable,
        number: int,
        database: Database,
        count: Callable[[Session], Counted],
        *,
        form: TypeAdapter[Counted] | None = None,
    ) -> Counted:
        """The count of what there is now, or the last one where that is much.

        Args:
            of: what is counted.
            rows: another value says that there are other rows.
            number: of them.
            count: called here or in a thread of its own, with a session that only looks.
            form: of the answer in a file, where a long count is to be kept over a start; it must name no part and
                nobody, as erasures do not look there.
        """
        with self._lock:
            kept = self._kept.get(of)
            if kept is None and form is not None and number > self.few:
                kept = self._from_file(of, form)
            if kept is not None and kept.rows != rows and number > self.few:
                rested = self._clock() - kept.ended >= kept.took_s * (1 / self._share - 1)
                if rested and not kept.counting:
                    kept.counting = True
                    work = (of, rows, database, count, form)
                    threading.Thread(target=self._count_beside, args=work, name="kept-counts", daemon=True).start()
                rows = kept.rows
        if kept is None or kept.rows != rows:
            with self._at_once:  # whoever asks for the same meanwhile waits, instead of counting it too
                kept = self._kept.get(of)
                if kept is None or kept.rows != rows:
                    return self._count(of, rows, database, count, form)
        found: Counted = kept.answer
        return found

    def forget(self) -> None:
        """Rows were erased: nothing that was counted with them is told again; who asks next waits for a new count."""
        with self._lock:
            self._kept.clear()
            self._forgotten += 1

    def _count_beside(
        self,
        of: Hashable,
        rows: Hashable,
        database: Database,
        count: Callable[[Session], Any],
        form: TypeAdapter[Any] | None,
    ) -> None:
        try:
            self._count(of, rows, database, count, form)
        except Exception as error:  # the next request after a rest tries again
            log.error("what many rows say could not be counted", of=of, exc_info=error)
            with self._lock:
                if (kept := self._kept.get(of)) is not None:
                    kept.counting, kept.ended = False, self._clock()

    def _count(
        self,
        of: Hashable,
        rows: Hashable,
        database: Database,
        count: Callable[[Session], Counted],
        form: TypeAdapter[Counted] | None,
    ) -> Counted:
        began, forgotten = self._clock(), self._forgotten
        with database.read() as session:
            answer = count(session)
        took_s = self._clock() - began
        with self._lock:
            if forgotten == self._forgotten:
                self._kept[of] = _Kept(rows, answer, took_s, began + took_s)
        if form is not None and took_s >= LONG_S and self._folder is not None:
            try:
                write_whole(self._file(self._folder, of), form.dump_json(answer))
            except OSError as error:  # whoever asks first after a start waits
                log.warning("a count could not be kept over a start", of=of, problem=str(error))
        return answer

    def _from_file(self, of: Hashable, form: TypeAdapter[Any]) -> _Kept | None:
        """What was counted before a start, as if of other rows than there are now."""
        if self._folder is None:
            return None
        try:
            answer = form.validate_json(self._file(self._folder, of).read_bytes())
        except (FileNotFoundError, ValidationError):  # never counted; or by a version that told something else
            return None
        kept = self._kept[of] = _Kept(object(), answer, took_s=0.0, ended=-math.inf)
        return kept

    @staticmethod
    def _file(folder: Path, of: Hashable) -> Path:
        return folder / f"{hashlib.sha256(repr(of).encode()).hexdigest()[:32]}.json"
