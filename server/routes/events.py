"""What happens, as it happens: server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from server.context import ContextDep
from server.events import EventBus

router = APIRouter(tags=["events"])

KEEPALIVE_S = 15.0
"""A comment so often keeps proxies from closing a quiet connection, and finds clients that are gone."""


@router.get("/events", response_class=StreamingResponse)
async def events(context: ContextDep, request: Request) -> StreamingResponse:
    """A stream of events: inspection, decision, call, alarm, label_task, label_book, label_dispute, model, job,
    recommendation, outcome, erasure. Nothing is replayed: a client that was away asks for the lists again. It ends with
    the key or the log-in."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    told = stream(context.events, request.state.is_still_known)
    return StreamingResponse(told, media_type="text/event-stream", headers=headers)


async def stream(
    bus: EventBus, is_still_known: Callable[[], Awaitable[bool]], *, keepalive_s: float = KEEPALIVE_S
) -> AsyncIterator[str]:
    """The events of a bus in the format of the HTML standard, section 9.2, until it closes.

    Args:
        is_still_known: whether who listens may still do so; asked every `keepalive_s`.
    """
    listener, clock = bus.listen(), asyncio.get_running_loop().time
    asked = clock()
    try:
        yield "retry: 2000\n\n"
        while True:
            try:
                item, quiet = await asyncio.wait_for(listener.queue.get(), keepalive_s), False
            except TimeoutError:
                item, quiet = None, True
            if clock() - asked >= keepalive_s:
                asked = clock()
                if not await is_still_known():
                    return
            if quiet:
                yield ": still here\n\n"
                continue
            if item is None:
                return
            yield f"event: {item.kind}\ndata: {json.dumps(dict(item.data), default=str)}\n\n"
    finally:
        bus.leave(listener)
