"""How capable a process was, and is with its recommendations."""

from __future__ import annotations

from fastapi import APIRouter, Request

from server import process_capability as capability
from server import process_service as service
from server.context import ContextDep
from server.db import SessionDep
from server.process_capability import BeforeAndAfter
from server.routes.processes import models_in_memory

router = APIRouter(tags=["processes"])


@router.get("/processes/{name}/capability")
def process_capability(name: str, request: Request, session: SessionDep, context: ContextDep) -> BeforeAndAfter:
    """Cpk, Ppk, yields and the cost of poor quality: of the history, and of the parts that followed advice."""
    version = service.current(session, name)
    process = models_in_memory(request, context).of(version).process
    return capability.before_and_after(session, name, process, version.report)
