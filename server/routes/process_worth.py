"""Is following a process's advice worth money?"""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import TypeAdapter

from qc.errors import NotFound
from server.context import ContextDep
from server.process_worth import WorthJson, trial_worth
from server.routes.processes import counted

router = APIRouter(tags=["processes"])


@router.get("/processes/{name}/worth")
def worth(name: str, context: ContextDep) -> WorthJson:
    """What the trial says: followed against usual handling, by lot, with an interval that holds at every look."""
    found = counted(
        context,
        name,
        "worth",
        lambda session, _, model: trial_worth(session, name, model.process, now=context.now()),
        TypeAdapter(WorthJson | None),
    )
    if found is None:
        raise NotFound(f"the process {name} allows no trial; write serving.trial into it, or use qc process allow")
    return found
