"""One address's sender: the oldest message first, again and again until it is told, with growing pauses.

A message counts as told when that is committed. Between the receiver's yes and the commit a `kill -9` costs a second
telling with the same id, never a message. Pauses are counted on a clock that nobody sets.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

import structlog
from sqlmodel import Session

from server import alarms
from server.context import Context
from server.outbound import outbox
from server.outbound.config import Address
from server.outbound.messages import ALARM
from server.outbound.records import OutboundAddress, OutboundMessage

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 1.0
AGAIN_S = 2.0
"""Between two attempts at a database that is away, in seconds."""
IDLE_S = 30.0
"""An idle sender looks by itself so often: for what another process wrote."""


class Failed(Exception):
    """It could not be told; why, in words that hold no secret."""

    def __init__(self, why: str, *, again_s: float | None = None) -> None:
        """
        Args:
            again_s: the receiver asked to be left alone for so long, in seconds.
        """
        super().__init__(why)
        self.why, self.again_s = why, again_s


class Gone(Failed):
    """The receiver wants to be told nothing any more."""


class Carrier(Protocol):
    """The way to one address."""

    def send(self, message: OutboundMessage) -> None:
        """Tell it; on return the receiver has it. Raises Failed or Gone."""
        ...

    def close(self) -> None:
        """Let go of what is held."""
        ...


@dataclass(frozen=True, slots=True)
class Shown:
    """How one address is, for /health."""

    state: Literal["ok", "waiting", "away", "off"]
    """ok, waiting (an attempt failed), away (for so long that there is an alarm), or off."""
    message: str = ""


class Sender:
    """Tells one address, in a thread of its own."""

    def __init__(self, name: str, config: Address, carrier: Carrier, context: Context) -> None:
        self.name, self.config = name, config
        self._carrier, self._context = carrier, context
        self._wake, self._now, self._stop = threading.Event(), threading.Event(), threading.Event()
        with context.database.write() as session:
            row = outbox.row_of(session, name)
            session.commit()
        self.off = row.off_at is not None
        self._failures = 0
        self._shown = Shown("off", row.off_reason) if self.off else Shown("ok")
        self._thread = threading.Thread(target=self._run, name=f"tell {name}", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new."""
        self._wake.set()

    def try_now(self) -> None:
        """End a pause."""
        self._now.set()
        self._wake.set()

    def resumed(self) -> None:
        """It was switched on again."""
        self.off, self._failures, self._shown = False, 0, Shown("ok")
        self.try_now()

    def shown(self) -> Shown:
        """How it is."""
        return self._shown

    def ask_to_stop(self) -> None:
        """Begin nothing more."""
        self._stop.set()
        self.try_now()

    def stop(self) -> None:
        """End after the message at hand; what waits is told after the next start."""
        self.ask_to_stop()
        if self._thread.is_alive():
            self._thread.join(timeout=3)
        self._carrier.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                with outbox.alone(self._context.database, self.name) as alone:
                    message = self._oldest() if alone and not self.off else None
                    if message is not None:
                        self._now.clear()
                        pause = self._attempt(message)
            except Exception as error:  # a database that is away comes back
                log.warning("the outbox cannot be read", address=self.name, exc_info=error)
                self._stop.wait(AGAIN_S)
                continue
            if message is None:
                self._rest(self._wake, IDLE_S if alone else AGAIN_S)
            else:
                self._rest(self._now, pause)

    def _rest(self, until: threading.Event, seconds: float) -> None:
        if seconds and not self._stop.is_set():  # asked after the events were cleared, so that no stop is slept over
            until.wait(seconds)

    def _oldest(self) -> OutboundMessage | None:
        with self._context.database.read() as session:
            return outbox.oldest(session, self.name)

    def _attempt(self, message: OutboundMessage) -> float:
        """Tell one message and record how that went; returns the seconds to pause."""
        try:
            self._carrier.send(message)
        except Gone as gone:
            why = gone.why
            self.off, self._shown = True, Shown("off", why)
            log.error("an address is switched off", address=self.name, why=why)
            self._record(lambda session, now: self._note_gone(session, why, now))
            return 0.0
        except Failed as error:
            return self._failed(error)
        except Exception as error:  # a mistake of ours must not end the thread
            log.error("a message could not be sent", address=self.name, exc_info=error)
            return self._failed(Failed(f"{type(error).__name__} while sending; the log has the rest"))
        number = message.n
        assert number is not None, "it came out of the database"
        self._record(lambda session, now: self._note_delivered(session, number, now))
        self._failures, self._shown = 0, Shown("ok")
        return 0.0

    def _failed(self, error: Failed) -> float:
        self._failures += 1
        if self._failures == 1:
            log.warning("an address cannot be told", address=self.name, why=error.why)
        self._shown = Shown("away" if self._shown.state == "away" else "waiting", error.why)
        self._record(lambda session, now: self._note_failed(session, error, now))
        return pause_after(self._failures, self.config.longest_pause_s, asked_s=error.again_s)

    def _record(self, note: Callable[[Session, datetime], Any]) -> None:
        """Commit what happened; while the database is away, again and again, so that nothing is told twice for it."""
        while True:
            try:
                with self._context.database.write() as session:
                    note(session, self._context.now())
                    session.commit()
                return
            except Exception as error:  # a full disk, a database that is away
                log.error("what was told cannot be recorded", address=self.name, exc_info=error)
                if self._stop.wait(AGAIN_S):
                    return

    def _note_delivered(self, session: Session, number: int, now: datetime) -> None:
        failed_before = outbox.row_of(session, self.name).failing_since is not None
        outbox.delivered(session, self.name, number, now=now)
        if failed_before:
            close_alarms(self._context, session, self.name, by="server", reason="it can be told again", now=now)

    def _note_failed(self, session: Session, error: Failed, now: datetime) -> None:
        row = outbox.failed(session, self.name, error.why, now=now)
        dropped = outbox.drop_excess(session, self.name, self.config.keep)
        since = row.failing_since or now
        if dropped or now - since >= timedelta(seconds=self.config.alarm_after_s):
            self._shown = Shown("away", error.why)
            self._raise(session, row, f"{self.name} cannot be told anything: {error.why}", since, now)
        if dropped:
            log.error("too much waits; the oldest messages were dropped", address=self.name, dropped=dropped)

    def _note_gone(self, session: Session, why: str, now: datetime) -> None:
        outbox.failed(session, self.name, why, now=now)
        row = outbox.switch_off(session, self.name, why, now=now)
        close_alarms(self._context, session, self.name, by="server", reason="it was switched off", now=now)
        self._raise(session, row, f"{self.name} is told nothing any more: {why}", now, now)

    def _raise(self, session: Session, row: OutboundAddress, message: str, since: datetime, now: datetime) -> None:
        waits = outbox.waiting(session, self.name)
        alarms.raise_once(
            session,
            self._context.events,
            kind=ALARM,
            station=self.name,
            what="address",
            message=f"{message}; {waits.messages} messages wait",
            since=since,
            now=now,
            before=(),
            after=(),
            figures={"waiting": waits.messages, "dropped": row.dropped, "failures": row.failures},
        )


def close_alarms(context: Context, session: Session, address: str, *, by: str, reason: str, now: datetime) -> None:
    """Close what is open about an address; the caller commits."""
    for alarm in alarms.open_ones(session, kind=ALARM, station=address):
        alarms.close(session, context.events, alarm, by=by, reason=reason, now=now)


def pause_after(failures: int, longest_s: float, *, asked_s: float | None = None) -> float:
    """Seconds to the next attempt: 1, 2, 4, … up to the longest, each shortened by chance by up to a quarter.

    So that many senders that lost the same receiver do not all come back at one moment.

    Args:
        failures: in a row, 1 and up.
        asked_s: what the receiver asked for (Retry-After); it counts where it is longer, up to an hour.
    """
    grown = min(FIRST_PAUSE_S * 2.0 ** min(failures - 1, 20), longest_s)
    return max(grown * random.uniform(0.75, 1.0), min(asked_s or 0.0, 3600.0))
