"""The time of calls: a call that nobody answered ends when it is due, also after a restart, in a thread of its own."""

from __future__ import annotations

import threading
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from sqlmodel import col, select

from server import calling
from server.context import Context
from server.word_records import CallState, OperatorCall

log = structlog.get_logger(__name__)

AGAIN_S = 1.0
"""Between two attempts while the database is away."""
LONGEST_S = 30.0
"""It looks at the clock at least so often: somebody may have set it."""


class CallWatch:
    """Ends calls whose time is over. A `server.context.Part`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="calls", daemon=True)

    def start(self) -> None:
        """Begin, with what the last stop left open."""
        context = self._context
        context.after_decision.append(partial(calling.after_decision, context))
        context.events.call("call", lambda _: self._wake.set())
        self._thread.start()

    def state(self) -> dict[str, Any]:
        """For /health."""
        return {"state": "ok" if self._thread.is_alive() or self._stop.is_set() else "failed"}

    def stop(self) -> None:
        """End; open calls are looked at after the next start."""
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=5)

    def end_due(self) -> datetime | None:
        """End every call that is due, and say when the next one will be. Raises what the database raises."""
        context = self._context
        waiting = select(OperatorCall).where(OperatorCall.state == CallState.OPEN).order_by(col(OperatorCall.due_at))
        with context.database.read() as session:
            first = session.exec(waiting.limit(1)).first()
        if first is None or first.due_at > context.now():
            return first.due_at if first else None
        with context.database.write() as session:
            for found in session.exec(waiting.with_for_update()):  # another server ends them, too
                if found.due_at > context.now():
                    break
                calling.expire(context, session, found)
                log.warning("nobody answered a call", call=found.id, station=found.station, verdict=found.verdict)
            session.commit()
            left = session.exec(waiting.limit(1)).first()
            return left.due_at if left else None

    def _run(self) -> None:
        while True:
            self._wake.clear()
            if self._stop.is_set():
                return
            pause = LONGEST_S
            try:
                due = self.end_due()
                if due is not None:
                    pause = min(max((due - self._context.now()).total_seconds(), 0.0), LONGEST_S)
            except Exception as error:  # a database that is away: the call ends all the same, once it is back
                log.error("calls that are due could not be ended", exc_info=error)
                pause = AGAIN_S
            self._wake.wait(pause)


def start(context: Context) -> CallWatch:
    """Start watching; a line in `server.parts.PARTS`."""
    watch = CallWatch(context)
    watch.start()
    return watch
