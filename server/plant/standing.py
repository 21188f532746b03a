"""A station that takes no parts is told to people, too: of its PLC's lamp office, wall and MES know nothing.

An alarm is raised once it has stood for `ALARM_AFTER_S`, as cameras come back by themselves within seconds, and closed
when it takes parts again. It goes where all alarms go: the pages, the wall, the andon lamps, webhooks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

import structlog

from server import alarms
from server.context import Context

log = structlog.get_logger(__name__)

ALARM = "plant"
WHAT = "standing"
ALARM_AFTER_S = 30.0
"""For so long a station stands before anybody is called, in seconds: longer than a start, or a camera's return."""


@dataclass(frozen=True, slots=True)
class _Since:
    """When it began to stand."""

    at: datetime
    monotonic: float
    """The same by a clock that nobody sets."""


class Standing:
    """One station's alarm; used by one thread."""

    def __init__(self, station: str, context: Context) -> None:
        self._station, self._context = station, context
        self._since: _Since | None = None
        self._is_raised: bool | None = None
        """None: an alarm may be open from before the start."""
        self._is_away = False

    def look(self, problem: str | None) -> None:
        """What keeps the station from taking parts now; None: nothing. Asks the database only where that changed."""
        if problem is None:
            self._since, wanted = None, False
        else:
            now = time.monotonic()
            self._since = self._since or _Since(self._context.now(), now)
            wanted = bool(self._is_raised) or now - self._since.monotonic >= ALARM_AFTER_S
        if wanted == self._is_raised or (problem is not None and not wanted):
            return
        try:
            self._tell(problem)
        except Exception as error:  # a database that is away: told when it is back
            if not self._is_away:
                log.error("the alarm of a station cannot be told", station=self._station, exc_info=error)
            self._is_away = True
            return
        self._is_raised, self._is_away = wanted, False

    def _tell(self, problem: str | None) -> None:
        now, events = self._context.now(), self._context.events
        with self._context.database.write() as session:
            if problem is not None and self._since is not None:
                alarms.raise_once(
                    session,
                    events,
                    kind=ALARM,
                    station=self._station,
                    what=WHAT,
                    message=f"{self._station} takes no parts: {problem}",
                    since=self._since.at,
                    now=now,
                    before=(),
                    after=(),
                    figures={},
                )
            else:
                for alarm in alarms.open_ones(session, kind=ALARM, station=self._station):
                    alarms.close(session, events, alarm, by="server", reason="it takes parts again", now=now)
            session.commit()
