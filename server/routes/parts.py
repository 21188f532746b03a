"""Parts: the verdict from all views, whichever station took them."""

from __future__ import annotations

from fastapi import APIRouter

from server.auth import IdentityDep
from server.context import ContextDep
from server.db import SessionDep
from server.part_verdicts import PartOut, look_at, make_verdict, record_verdict

router = APIRouter(tags=["parts"])


@router.get("/parts/{part:path}")
def one_part(part: str, session: SessionDep, context: ContextDep) -> PartOut:
    """A part from all of its views, with the reason in one sentence. Nothing is recorded."""
    return look_at(context, session, part)


@router.post("/parts/{part:path}/verdict", status_code=201)
def judge_one_part(part: str, who: IdentityDep, context: ContextDep) -> PartOut:
    """Judge a part by all of its views; what is answered stands in the audit trail. For a line that acts on it."""
    shown, body = make_verdict(context, part)
    with context.database.write() as session:
        record_verdict(context, session, body, by=who.name)
        session.commit()
    return shown
