"""How well a process is known: what its settings do, whether promises were kept, what exploring taught."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel
from sqlmodel import Session

from process_opt.model import ProcessModel
from server import process_exploring, process_levers, process_promises
from server import process_service as service
from server.context import Context, ContextDep
from server.db import SessionDep
from server.process_exploring import ExploringJson
from server.process_levers import LeversJson
from server.process_promises import PromisesJson
from server.routes.processes import models_in_memory

router = APIRouter(tags=["processes"])

Told = TypeVar("Told", bound=BaseModel)


@router.get("/processes/{name}/levers")
def levers(name: str, request: Request, session: SessionDep, context: ContextDep) -> LeversJson:
    """What each setting does to what is decided in the end, which are not known, and the trial that would tell."""
    report = service.current(session, name).report
    return _once(LeversJson, name, request, session, context, lambda model: process_levers.levers(model, report))


@router.get("/processes/{name}/promises")
def promises(name: str, request: Request, session: SessionDep, context: ContextDep) -> PromisesJson:
    """Chances promised beside shares kept, by decision and by chance; and whether advice stands, is widened or
    withdrawn."""
    return _once(PromisesJson, name, request, session, context, lambda m: process_promises.promises(session, name, m))


@router.get("/processes/{name}/exploring")
def exploring(name: str, request: Request, session: SessionDep, context: ContextDep) -> ExploringJson:
    """Whether settings may be moved to learn, for which price, and what that taught."""
    return _once(
        ExploringJson, name, request, session, context, lambda m: process_exploring.exploring(session, name, m)
    )


def _once(
    kind: type[Told],
    name: str,
    request: Request,
    session: Session,
    context: Context,
    make: Callable[[ProcessModel], Told],
) -> Told:
    """What `make` says of the process's model; made again only when the model, a recommendation or an outcome is new:
    every open page asks, and thousands of rows are read."""
    version = service.current(session, name)
    state = request.app.state
    if not hasattr(state, "process_known"):
        state.process_known = {}
    kept: dict[tuple[type[BaseModel], str], tuple[object, Any]] = state.process_known
    now = (version.model, *service.counts(session, name))
    found = kept.get((kind, name))
    if found is None or found[0] != now:
        found = kept[kind, name] = (now, make(models_in_memory(request, context).of(version)))
    told: Told = found[1]
    return told
