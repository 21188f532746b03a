"""Times at which a job is asked for. The schedule only asks; the table remembers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from qc.errors import InvalidInput
from qc.ports import Clock
from server.jobs import queue

log = structlog.get_logger(__name__)


class Schedule:
    """Asks for jobs by the clock, each under its kind as key, so that a slow one is never asked for twice."""

    def __init__(self, sessions: Callable[[], Session], *, clock: Clock, wake: Callable[[], None]) -> None:
        self._sessions, self._clock, self._wake = sessions, clock, wake
        self._scheduler: Any = BackgroundScheduler(job_defaults={"coalesce": True, "misfire_grace_time": 3600})

    def every(self, seconds: float, kind: str) -> None:
        """Ask for a job of this kind every so many seconds."""
        self._scheduler.add_job(self._ask, IntervalTrigger(seconds=seconds), args=[kind])

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
        self._scheduler.add_job(self._ask, trigger, args=[kind, arguments])

    def start(self) -> None:
        """Begin to watch the clock."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop watching the clock; nothing is lost, the next start goes on."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def _ask(self, kind: str, arguments: dict[str, Any] | None = None) -> None:
        try:
            with self._sessions() as session:
                queue.enqueue(session, kind, arguments, now=self._clock(), key=kind)
                session.commit()
        except SQLAlchemyError as error:  # asked for again the next time
            log.error("schedule.ask", kind=kind, problem=str(error))
            return
        self._wake()
