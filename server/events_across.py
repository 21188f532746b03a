"""Events between the servers of one PostgreSQL: NOTIFY in the transaction that writes, LISTEN beside the pool.

PostgreSQL delivers what a committed transaction told, in order, to whoever listens then, and keeps nothing. While the
connection is away events are missed; when it is back, whoever listens here is sent home, comes again and asks for the
lists (`EventBus.gap`). A pooler that hands connections out by the transaction (PgBouncer's `transaction` mode) cannot
LISTEN: give the server an address that leads to PostgreSQL itself.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import text
from sqlmodel import Session

from qc.records import new_id
from server.context import Context
from server.db import Database
from server.events import Event, EventBus

if TYPE_CHECKING:
    from psycopg import Connection

log = structlog.get_logger(__name__)

CHANNEL = "qc_events"
PIECE = 7000
"""Characters, all ASCII, of an event in one notification: PostgreSQL takes 7,999 bytes."""
TURN_S = 0.5
"""How long one wait for notifications lasts; what has no transaction of its own (a job's progress) goes out then."""
AGAIN_S = 2.0
"""Between two attempts to connect, in seconds."""
SOON = 256
"""Events without a transaction that wait; beyond that the oldest are forgotten, as nobody relies on them."""
DEAD_PEER = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""libpq: a database whose machine is gone is noticed within half a minute."""


class Across:
    """A `server.events.Carrier`, and a `server.context.Part`."""

    def __init__(self, database: Database, bus: EventBus) -> None:
        self._database, self._bus = database, bus
        self._name, self._numbers = new_id(), itertools.count()
        self._soon: deque[Event] = deque(maxlen=SOON)
        self._pieces: dict[tuple[str, str], list[str]] = {}
        self._heard = 0
        self._problem = ""
        self._stop = threading.Event()
        self._connection: Connection[Any] | None = None
        bus.carry(self)
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def state(self) -> dict[str, Any]:
        """For /health."""
        if self._problem:
            words = f"pages here do not hear what happens at other servers: {self._problem}"
            return {"state": "degraded", "message": words}
        return {"state": "ok", "heard": self._heard}

    def stop(self) -> None:
        """Tell and hear nothing more."""
        self._bus.carry(None)
        self._stop.set()
        self._thread.join(timeout=5)

    def within(self, session: Session, event: Event) -> None:
        """As `server.events.Carrier`. Raises what the database raises."""
        for piece in self._cut(event):
            asked = {"channel": CHANNEL, "piece": piece}
            session.connection().execute(text("SELECT pg_notify(:channel, :piece)"), asked)

    def soon(self, event: Event) -> None:
        """As `server.events.Carrier`."""
        self._soon.append(event)

    def _cut(self, event: Event) -> list[str]:
        """`SENDER NUMBER PLACE/OF JSON`, as many as it needs; no two are equal, as PostgreSQL would tell but one."""
        told = json.dumps({"kind": event.kind, "data": dict(event.data)}, default=str)
        pieces = [told[at : at + PIECE] for at in range(0, len(told), PIECE)]
        number = next(self._numbers)
        return [f"{self._name} {number} {place}/{len(pieces)} {piece}" for place, piece in enumerate(pieces, start=1)]

    def _join(self, payload: str) -> Event | None:
        """The event, with its last piece. Those of one transaction come together and in order."""
        sender, number, place, piece = payload.split(" ", 3)
        if sender == self._name:
            return None
        pieces = self._pieces.setdefault((sender, number), [])
        pieces.append(piece)
        at, _, of = place.partition("/")
        if at != of:
            return None
        del self._pieces[sender, number]
        if len(pieces) != int(of):
            return None  # its beginning was told before we listened
        told = json.loads("".join(pieces))
        return Event(told["kind"], told["data"])

    def _connect(self) -> Connection[Any]:
        """A connection that listens, outside of the pool. Raises what psycopg raises."""
        import psycopg  # an extra

        engine = self._database.engine
        _, chosen = engine.dialect.create_connect_args(engine.url)
        connection = psycopg.connect(**{**DEAD_PEER, **chosen}, autocommit=True)
        connection.execute(f"LISTEN {CHANNEL}")
        return connection

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._connection is None:
                    self._connection = self._connect()
                    self._pieces.clear()
                    self._problem = ""
                    log.info("events of other servers are heard")
                    self._bus.gap()
                self._turn(self._connection)
            except Exception as error:  # a database that is away comes back
                self._problem = f"{type(error).__name__}: {str(error).strip()}"
                log.warning("events of other servers are not heard", problem=self._problem)
                self._close()
                self._stop.wait(AGAIN_S)
        self._close()

    def _turn(self, connection: Connection[Any]) -> None:
        """Send what waits, then hear what comes, for a while."""
        until = time.monotonic() + TURN_S
        while self._soon:
            for piece in self._cut(self._soon.popleft()):
                connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, piece))
        for notification in connection.notifies(timeout=max(until - time.monotonic(), 0.01)):
            if (event := self._join(notification.payload)) is not None:
                self._heard += 1
                self._bus.hear(event)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def start(context: Context) -> Across | None:
    """Start, on PostgreSQL; a line in `server.parts.PARTS`."""
    if context.database.dialect != "postgresql":
        return None
    return Across(context.database, context.events)
