"""What just happened, for whoever listens now (server-sent events). In memory; not a log.

Events of a transaction go out when it is committed and never when it is not: `on_commit`. Servers on one PostgreSQL
hear each other's by a carrier (`server.events_across`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlmodel import Session

from server.db import after_commit

KINDS = (
    "inspection",
    "decision",
    "call",
    "part",
    "label_task",
    "label_dispute",
    "label_book",
    "model",
    "job",
    "recommendation",
    "outcome",
    "alarm",
    "station",
    "erasure",
)
"""All that is told of; a page listens to each (`frontend/src/api/live.ts`)."""

QUEUE_SIZE = 256
"""Events that wait for one slow listener; beyond that the oldest are dropped: it can ask for the list again."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    kind: str
    """One of KINDS."""
    data: Mapping[str, Any]
    """`id`, and the small JSON of the thing."""


def _made(kind: str, data: Mapping[str, Any]) -> Event:
    """An event of this server; a newer server beside it may tell of kinds that are not known here.

    Raises:
        ValueError: Nobody listens to such a kind.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of event: {', '.join(KINDS)}")
    return Event(kind, data)


@dataclass(eq=False)
class Listener:
    """One client's place in the bus."""

    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[Event | None] = field(default_factory=lambda: asyncio.Queue(QUEUE_SIZE))

    def offer(self, item: Event | None) -> None:
        """Queue an item; on the listener's own loop."""
        if self.queue.full():
            self.queue.get_nowait()
        self.queue.put_nowait(item)


Call = Callable[[Event], None]
Calls = tuple[
    list[tuple[str, Call]], list[tuple[str, Call]], list[Callable[[], None]], list[Callable[[Session, Event], None]]
]
"""Functions to be called for events of this server or any, for those of this one, after a gap, within a transaction."""


class Carrier(Protocol):
    """Takes events to the other servers of the database; what they tell comes back by `EventBus.hear`."""

    def within(self, session: Session, event: Event) -> None:
        """Take it there if and when the session's transaction is committed."""
        ...

    def soon(self, event: Event) -> None:
        """Take it there; forgotten where that cannot be. Quick; never raises."""
        ...


class EventBus:
    """Publish from any thread; listen on an event loop."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._calls: list[tuple[str, Callable[[Event], None]]] = []
        self._calls_here: list[tuple[str, Callable[[Event], None]]] = []
        self._after_a_gap: list[Callable[[], None]] = []
        self._carrier: Carrier | None = None
        self._keepers: list[Callable[[Session, Event], None]] = []
        self._lock = threading.Lock()
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many clients listen."""
        return len(self._listeners)

    def publish(self, kind: str, data: Mapping[str, Any]) -> None:
        """Tell everybody who listens now."""
        item = _made(kind, data)
        self._send(item)
        if self._carrier is not None:
            self._carrier.soon(item)

    def on_commit(self, session: Session, kind: str, data: Mapping[str, Any]) -> None:
        """Publish once `session` has committed; forget it when this part of the transaction rolls back."""
        item = _made(kind, data)
        after_commit(session, lambda: self._send(item))
        for keep in self._keepers:
            keep(session, item)
        if self._carrier is not None:
            self._carrier.within(session, item)

    def carry(self, carrier: Carrier | None) -> None:
        """Take every event from now on to the other servers, too; None: no longer."""
        self._carrier = carrier

    def hear(self, event: Event) -> None:
        """Another server told this: it goes to whoever listens here, and to no other server."""
        self._send(event, here=False)

    def gap(self) -> None:
        """Something that another server told may have been missed: listeners are sent home, and come again and ask."""
        self._send(None)
        for function in self._after_a_gap:
            function()

    def keep(self, function: Callable[[Session, Event], None]) -> None:
        """Call a function with every event of a transaction within it: what it writes is kept if that is committed."""
        self._keepers.append(function)

    def call(self, kind: str, function: Callable[[Event], None], *, only_here: bool = False) -> None:
        """Call a quick function, on the publisher's thread, for every event of a kind.

        Args:
            only_here: not for what other servers tell, as they see to it themselves.
        """
        (self._calls_here if only_here else self._calls).append((kind, function))

    def call_after_a_gap(self, function: Callable[[], None]) -> None:
        """Call a quick function whenever events of other servers may have been missed."""
        self._after_a_gap.append(function)

    def calls(self) -> Calls:
        """Which functions are to be called, so far."""
        return self._calls.copy(), self._calls_here.copy(), self._after_a_gap.copy(), self._keepers.copy()

    def calls_again(self, before: Calls) -> None:
        """Only those are called that were to be called then."""
        calls, here, after_a_gap, keepers = before
        self._calls, self._calls_here = calls.copy(), here.copy()
        self._after_a_gap, self._keepers = after_a_gap.copy(), keepers.copy()

    def listen(self) -> Listener:
        """A new listener on the running event loop; its queue gives None when the bus closes."""
        listener = Listener(asyncio.get_running_loop())
        with self._lock:
            self._listeners.add(listener)
        if self._closed:
            listener.offer(None)
        return listener

    def leave(self, listener: Listener) -> None:
        """Stop listening."""
        with self._lock:
            self._listeners.discard(listener)

    def close(self) -> None:
        """Send every listener home; the server stops."""
        self._closed = True
        self._send(None)

    def _send(self, item: Event | None, *, here: bool = True) -> None:
        for kind, function in [*self._calls, *(self._calls_here if here else ())]:
            if item is not None and item.kind == kind:
                function(item)
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            if not listener.loop.is_closed():
                listener.loop.call_soon_threadsafe(listener.offer, item)
