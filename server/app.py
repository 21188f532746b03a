"""create_app(settings): the only place where the parts of the server are put together."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from qc.ports import Segmenter
from server import clock, configuration, errors, first_login, frontend, parts, routes, schema
from server.access import PREFIX
from server.auth import FailureLimit
from server.blobs.opening import blobs_of
from server.cache import open_cache
from server.context import Context
from server.db import Database
from server.decoding.pool import Decoders
from server.events import EventBus
from server.guard import Guard
from server.kept_counts import KeptCounts
from server.open_inference.routes import router as open_inference
from server.policies import Policies
from server.settings import Settings


def create_app(
    settings: Settings,
    *,
    segmenter: Segmenter | None = None,
    demonstration: bool = False,
    decoders: Decoders | None = None,
) -> FastAPI:
    """The whole server as one ASGI app; nothing runs and no table is made before its lifespan starts.

    Args:
        settings: every knob.
        demonstration: run the demonstration line beside it.
        segmenter: a model given once and for all, instead of the champion of the registry.
        decoders: processes that unpack pictures, shared with other servers; left out: some of its own.
    """
    context = Context(
        settings=settings,
        database=Database(settings.db_url),
        blobs=blobs_of(settings),
        events=EventBus(),
        now=clock.now,
        policies=Policies(settings.folder("products"), default=settings.default_product),
        cache=open_cache(settings),
        segmenter=segmenter,
        demonstration=demonstration,
        decoders=decoders,
        counts=KeptCounts(settings.folder("cache") / "counts"),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(start, context)
        try:
            yield
        finally:
            context.events.close()
            await run_in_threadpool(stop, context)

    app = FastAPI(
        title="qc-line",
        version="1",
        summary="Finds tiny defects on large metal surfaces and says how to save a part that went wrong.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.context = context
    app.state.failure_limit = FailureLimit(settings.login_failures)
    errors.install(app)
    for module in pkgutil.iter_modules(routes.__path__):
        router = getattr(importlib.import_module(f"server.routes.{module.name}"), "router", None)
        if router is not None:
            app.include_router(router, prefix=PREFIX)
    app.include_router(open_inference)
    frontend.install(app)
    app.add_middleware(Guard, context=context)
    return app


def start(context: Context) -> None:
    """Tables, the first account, what the configuration is, then parts."""
    schema.upgrade(context.database)
    with context.database.write() as session:
        first_login.ensure(session, context.settings)
    with context.database.write() as session:
        configuration.keep(session, context.settings, now=context.now())
        session.commit()
    parts.start_all(context)


def stop(context: Context) -> None:
    """Parts, then the database."""
    parts.stop_all(context)
    context.database.close()
