"""What happens, as it happens: server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from server.context import ContextDep
from server.events import EventBus

router = APIRouter(tags=["events"])

KEEPALIVE_S = 15.0
"""A comment so often keeps proxies from closing a quiet connection, and finds clients that are gone."""


@router.get("/events", response_class=StreamingResponse)
async def events(context: ContextDep) -> StreamingResponse:
    """A stream of events: inspection, decision, label_task, model, job, recommendation, outcome. Nothing is replayed: a
    client that was away asks for the lists again."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream(context.events), media_type="text/event-stream", headers=headers)


async def stream(bus: EventBus) -> AsyncIterator[str]:
    """The events of a bus in the format of the HTML standard, section 9.2, until it closes."""
    listener = bus.listen()
    try:
        yield "retry: 2000\n\n"
        while True:
            try:
                item = await asyncio.wait_for(listener.queue.get(), KEEPALIVE_S)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            if item is None:
                return
            yield f"event: {item.kind}\ndata: {json.dumps(dict(item.data), default=str)}\n\n"
    finally:
        bus.leave(listener)
