"""Unsure at a station: calling the team leader, answering, and taking a word back."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from qc.records import Inspection
from qc.verdict import Verdict
from server import calling, inspections
from server.auth import IdentityDep
from server.context import ContextDep
from server.db import SessionDep
from server.schemas import InspectionOut
from server.undoing import undo
from server.word_records import OperatorCall

router = APIRouter(tags=["calls"])

WORD_ID = "A UUID of version 7, made when it was said: whoever sends it twice, as an answer was lost, said it once."


class CallIn(BaseModel):
    """Somebody is unsure."""

    question: str = Field(default="", max_length=500, description="What they are unsure of.")
    id: str | None = Field(default=None, max_length=36, description=WORD_ID)


class AnswerIn(BaseModel):
    """The team leader's word."""

    verdict: Literal["ok", "ng"]
    reason: str = Field(min_length=1, max_length=500)
    id: str | None = Field(default=None, max_length=36, description=WORD_ID)


class UndoIn(BaseModel):
    """A word was not meant."""

    decision: str = Field(max_length=36, description="Id of the decision that is taken back.")
    id: str | None = Field(default=None, max_length=36, description=WORD_ID)


class CallJson(BaseModel):
    """A call to the team leader."""

    id: str
    inspection_id: str
    part: str
    station: str
    product: str
    said: Literal["ok", "review", "ng"] | None = Field(description="The part's verdict before anybody was unsure.")
    question: str
    by: str
    at: datetime
    due_at: datetime
    state: Literal["open", "answered", "withdrawn", "expired"]
    closed_at: datetime | None
    verdict: Literal["ok", "ng", "review"] | None = Field(description="How the part stands by it; null while open.")
    answered_by: str
    reason: str
    then: Literal["ng", "review"] = Field(description="How the part stands when nobody comes.")


class CallPage(BaseModel):
    """Open calls, those due soonest on top; then the others, newest first."""

    items: list[CallJson]


@router.get("/calls")
def list_calls(
    session: SessionDep,
    context: ContextDep,
    only_open: bool = False,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> CallPage:
    """Calls to the team leader."""
    rows = calling.listed(session, only_open=only_open, limit=limit)
    return CallPage(items=[show(context, call, inspection) for call, inspection in rows])


@router.post("/inspections/{inspection_id}/call", status_code=201)
def call_leader(
    inspection_id: str, word: CallIn, session: SessionDep, who: IdentityDep, context: ContextDep
) -> InspectionOut:
    """Unsure: call the team leader. The part's product says how long they have, and what holds when nobody comes."""
    calling.call(context, session, inspection_id, word.question, by=who.name, id=word.id)
    session.commit()
    return inspections.show_one(context, session, inspection_id)


@router.post("/calls/{id}/answer")
def answer_call(id: str, word: AnswerIn, session: SessionDep, who: IdentityDep, context: ContextDep) -> CallJson:
    """The team leader decides the part, with a reason; it is their decision on its inspection."""
    found = calling.answer(context, session, id, Verdict(word.verdict), word.reason, by=who.name, id=word.id)
    session.commit()
    return show(context, found, inspections.get_inspection(session, found.inspection_id))


@router.post("/calls/{id}/withdraw")
def withdraw_call(id: str, session: SessionDep, who: IdentityDep, context: ContextDep) -> InspectionOut:
    """Whoever called needs nobody any more."""
    found = calling.withdraw(context, session, id, by=who.name)
    session.commit()
    return inspections.show_one(context, session, found.inspection_id)


@router.post("/inspections/{inspection_id}/undo", status_code=201)
def undo_decision(
    inspection_id: str, word: UndoIn, session: SessionDep, who: IdentityDep, context: ContextDep
) -> InspectionOut:
    """Take one's word back, within two minutes: it stays in the trail and counts no more."""
    undo(context, session, inspection_id, word.decision, by=who.name, id=word.id)
    session.commit()
    return inspections.show_one(context, session, inspection_id)


def show(context: ContextDep, call: OperatorCall, inspection: Inspection) -> CallJson:
    """A call as pages see it."""
    told: dict[str, Any] = call.model_dump(include=set(CallJson.model_fields))
    then = context.policies.rules(inspection.product).calls.then
    told |= {"part": inspection.part, "product": inspection.product, "said": inspection.verdict, "then": then.value}
    return CallJson(**told)
