"""How well a process is known: what its settings do, whether promises were kept, what exploring taught."""

from fastapi import APIRouter
from pydantic import TypeAdapter

from server import process_exploring, process_levers, process_promises
from server.context import ContextDep
from server.process_exploring import ExploringJson
from server.process_levers import LeversJson
from server.process_promises import PromisesJson
from server.routes.processes import counted, said_by_model

router = APIRouter(tags=["processes"])


@router.get("/processes/{name}/levers")
def levers(name: str, context: ContextDep) -> LeversJson:
    """What each setting does to what is decided in the end, which are not known, and the trial that would tell."""
    return said_by_model(context, name, "levers", lambda version, model: process_levers.levers(model, version.report))


@router.get("/processes/{name}/promises")
def promises(name: str, context: ContextDep) -> PromisesJson:
    """Chances promised beside shares kept, by decision and by chance; and whether advice stands, is widened or
    withdrawn."""
    return counted(
        context,
        name,
        "promises",
        lambda session, _, model: process_promises.promises(session, name, model),
        TypeAdapter(PromisesJson),
    )


@router.get("/processes/{name}/exploring")
def exploring(name: str, context: ContextDep) -> ExploringJson:
    """Whether settings may be moved to learn, for which price, and what that taught."""
    return counted(
        context,
        name,
        "exploring",
        lambda session, _, model: process_exploring.exploring(session, name, model),
        TypeAdapter(ExploringJson),
    )
