"""How capable a process was, and is with its recommendations."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import TypeAdapter

from server import process_capability as capability
from server.context import ContextDep
from server.process_capability import BeforeAndAfter
from server.routes.processes import counted

router = APIRouter(tags=["processes"])


@router.get("/processes/{name}/capability")
def process_capability(name: str, context: ContextDep) -> BeforeAndAfter:
    """Cpk, Ppk, yields and the cost of poor quality: of the history, and of the parts that followed advice."""
    return counted(
        context,
        name,
        "capability",
        lambda session, version, model: capability.before_and_after(session, name, model.process, version.report),
        TypeAdapter(BeforeAndAfter),
    )
