"""What just happened, for whoever listens now (server-sent events). In memory, for one process; not a log.

Events of a transaction go out when it is committed and never when it is not: `on_commit`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session

from server.db import after_commit

KINDS = (
    "inspection",
    "decision",
    "call",
    "part",
    "label_task",
    "model",
    "job",
    "recommendation",
    "outcome",
    "alarm",
    "erasure",
)

QUEUE_SIZE = 256
"""Events that wait for one slow listener; beyond that the oldest are dropped: it can ask for the list again."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    kind: str
    """One of KINDS."""
    data: Mapping[str, Any]
    """`id`, and the small JSON of the thing."""


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


class EventBus:
    """Publish from any thread; listen on an event loop."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._calls: list[tuple[str, Callable[[Event], None]]] = []
        self._keepers: list[Callable[[Session, Event], None]] = []
        self._lock = threading.Lock()
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many clients listen."""
        return len(self._listeners)

    def publish(self, kind: str, data: Mapping[str, Any]) -> None:
        """Tell everybody who listens now."""
        self._send(Event(kind, data))

    def on_commit(self, session: Session, kind: str, data: Mapping[str, Any]) -> None:
        """Publish once `session` has committed; forget it when this part of the transaction rolls back."""
        item = Event(kind, data)
        after_commit(session, lambda: self._send(item))
        for keep in self._keepers:
            keep(session, item)

    def keep(self, function: Callable[[Session, Event], None]) -> None:
        """Call a function with every event of a transaction within it: what it writes is kept if that is committed."""
        self._keepers.append(function)

    def call(self, kind: str, function: Callable[[Event], None]) -> None:
        """Call a quick function, on the publisher's thread, for every event of a kind."""
        self._calls.append((kind, function))

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

    def _send(self, item: Event | None) -> None:
        for kind, function in self._calls:
            if item is not None and item.kind == kind:
                function(item)
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            if not listener.loop.is_closed():
                listener.loop.call_soon_threadsafe(listener.offer, item)
