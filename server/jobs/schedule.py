"""Times at which a job is asked for. The schedule only asks; the table remembers.

Periods run on a clock that nobody sets. Times of the day are those of the clock that people set: where it was set back,
or forward for a while, the next time is reckoned anew, so that no night is left out but the one that it jumped over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from apscheduler.triggers.cron import CronTrigger
from sqlmodel import Session

from qc.errors import InvalidInput
from qc.ports import Clock
from server.jobs import queue

log = structlog.get_logger(__name__)

LOOK_S = 30.0
"""How often the clock is looked at, at least, in seconds: it may have been set."""
LATE = timedelta(hours=1)
"""Who is later than this, as the clock was set or the computer slept, asks the next time."""
SET_BACK = timedelta(minutes=1)
"""What a clock goes back by more than this was set; by less it was corrected, and nothing is asked for twice."""


class When(Protocol):
    """When something is asked for, again and again."""

    def is_due(self, now: datetime) -> bool:
        """Is it time? Says so once each time."""
        ...

    def wait_s(self, now: datetime) -> float:
        """Seconds to the next time; below 0: it has passed."""
        ...


class Every:
    """Every so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._next = seconds, time.monotonic() + seconds

    def is_due(self, now: datetime) -> bool:
        if self.wait_s(now) > 0:
            return False
        self._next = time.monotonic() + self._seconds
        return True

    def wait_s(self, now: datetime) -> float:
        return self._next - time.monotonic()


class AtTimes:
    """At times of the day, of the week and of the year."""

    def __init__(self, trigger: CronTrigger, now: datetime) -> None:
        self._trigger, self._seen = trigger, now
        self.next = self._after(now)
        """None: never."""

    def is_due(self, now: datetime) -> bool:
        was_set_back, self._seen = now < self._seen - SET_BACK, now
        passed = self.next if self.next is not None and now >= self.next else None
        if passed is not None or was_set_back:
            self.next = self._after(now)
        return passed is not None and now - passed <= LATE

    def wait_s(self, now: datetime) -> float:
        return LOOK_S if self.next is None else (self.next - now).total_seconds()

    def _after(self, now: datetime) -> datetime | None:
        found: datetime | None = self._trigger.get_next_fire_time(None, now + timedelta(microseconds=1))
        return found


@dataclass(frozen=True, slots=True)
class Planned:
    """A job that is asked for."""

    kind: str
    arguments: dict[str, Any] | None
    when: When


class Schedule:
    """Asks for jobs by the clock, each under its kind as key, so that a slow one is never asked for twice."""

    def __init__(self, sessions: Callable[[], Session], *, clock: Clock, wake: Callable[[], None]) -> None:
        self._sessions, self._clock, self._wake = sessions, clock, wake
        self.planned: list[Planned] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="schedule", daemon=True)

    def every(self, seconds: float, kind: str) -> None:
        """Ask for a job of this kind every so many seconds."""
        self.planned.append(Planned(kind, None, Every(seconds)))

    def cron(self, expression: str, kind: str, arguments: dict[str, Any] | None = None) -> None:
        """Ask by a crontab line of five fields (minute hour day month weekday, local time); an empty one means never.

        Raises:
            InvalidInput: the line makes no sense.
        """
        if not expression.strip():
            return
        try:
            trigger = CronTrigger.from_crontab(expression)
        except ValueError as error:
            raise InvalidInput(f"the schedule {expression!r} of {kind} makes no sense: {error}") from error
        self.planned.append(Planned(kind, arguments, AtTimes(trigger, self._clock())))

    def start(self) -> None:
        """Begin to watch the clock."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching the clock; nothing is lost, the next start goes on."""
        self._stop.set()

    def ask(self, planned: Planned) -> None:
        """Ask for a job now."""
        try:
            with self._sessions() as session:
                queue.enqueue(session, planned.kind, planned.arguments, now=self._clock(), key=planned.kind)
                session.commit()
        except Exception as error:  # a database that is away, a full disk: asked for again the next time
            log.error("schedule.ask", kind=planned.kind, problem=str(error))
            return
        self._wake()

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s()):
            now = self._clock()
            for planned in self.planned:
                if planned.when.is_due(now):
                    self.ask(planned)

    def _pause_s(self) -> float:
        now = self._clock()
        return max(0.0, min([LOOK_S, *(planned.when.wait_s(now) for planned in self.planned)]))
