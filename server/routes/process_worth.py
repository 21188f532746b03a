"""Is following a process's advice worth money?"""

from __future__ import annotations

from fastapi import APIRouter, Request

from qc.errors import NotFound
from server import process_service as service
from server.context import ContextDep
from server.db import SessionDep
from server.process_worth import WorthJson, trial_worth
from server.routes.processes import models_in_memory

router = APIRouter(tags=["processes"])


@router.get("/processes/{name}/worth")
def worth(name: str, request: Request, session: SessionDep, context: ContextDep) -> WorthJson:
    """What the trial says: followed against usual handling, by lot, with an interval that holds at every look."""
    version = service.current(session, name)
    process = models_in_memory(request, context).of(version).process
    if (found := trial_worth(session, name, process, now=context.now())) is None:
        raise NotFound(f"the process {name} allows no trial; write serving.trial into it, or use qc process allow")
    return found
