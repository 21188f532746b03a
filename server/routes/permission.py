"""Permission for rework, and the plan that a line may carry out now."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from process_opt.records import Answer, Approval, Recommendation
from server import permission
from server.auth import IdentityDep
from server.context import ContextDep
from server.db import SessionDep
from server.permission import Permission

router = APIRouter(tags=["processes"])


class Word(BaseModel):
    """An engineer's word on proposed rework."""

    answer: Answer
    risk: str = Field(min_length=1, max_length=2000, examples=["A second hardening may warp thin walls"])
    """What may go wrong with the part if it is reworked, or if it is not."""


class Said(BaseModel):
    """A word that was given."""

    answer: Answer
    steps: list[str]
    risk: str
    by: str
    at: datetime


class PermissionJson(BaseModel):
    """Whether a plan may be carried out, and what people said about it."""

    state: Permission
    steps: list[str]
    """The rework steps that need permission."""
    said: list[Said]


class Executable(BaseModel):
    """What a line may do with a part now."""

    recommendation: str
    part: str
    at: str
    decision: str
    settings: dict[str, float]
    run: list[str]
    permission: PermissionJson


def show(row: Recommendation, approvals: list[Approval]) -> PermissionJson:
    """As pages and lines see it; `approvals` are those of the row's part, oldest first."""
    steps = permission.needed(row)
    words = [Said(answer=a.answer, steps=a.steps, risk=a.risk, by=a.by, at=a.at) for a in approvals]
    return PermissionJson(state=permission.permission(steps, approvals), steps=steps, said=words)


@router.post("/processes/{name}/recommendations/{id}/approval")
def decide(
    name: str, id: str, word: Word, who: IdentityDep, session: SessionDep, context: ContextDep
) -> PermissionJson:
    """Approve or decline the rework that a recommendation proposes. The newest word on a part's step stands."""
    now = context.now()
    row, _ = permission.decide(session, name, id, word.answer, word.risk, by=who.name, now=now)
    context.events.on_commit(session, "recommendation", {"id": row.id, "process": name, "part": row.part})
    told = show(row, permission.said(session, name, [row.part])[row.part])
    session.commit()
    return told


@router.get("/processes/{name}/parts/{part:path}/plan")
def plan(name: str, part: str, session: SessionDep) -> Executable:
    """The newest plan for a part; refused (409) while its rework waits for permission."""
    row = permission.executable(session, name, part)
    return Executable(
        recommendation=row.id,
        part=row.part,
        at=row.at,
        decision=str(row.answer["decision"]),
        settings=row.answer["settings"],
        run=row.answer["run"],
        permission=show(row, permission.said(session, name, [part]).get(part, [])),
    )
