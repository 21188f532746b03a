"""The mode of a station: shadow, advise or decide."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlmodel import Session

from qc.errors import Conflict
from server import modes, modes_evidence
from server.auth import IdentityDep
from server.context import Context, ContextDep
from server.db import SessionDep

router = APIRouter(tags=["stations"])

Word = Literal["shadow", "advise", "decide"]


class ModeWish(BaseModel):
    """What a station's verdicts shall be allowed to do."""

    mode: Word
    limit_a_day: float | None = Field(default=None, gt=0, description="Money that wrong verdicts may cost in a day.")
    limit_a_part: float | None = Field(
        default=None, gt=0, description="Mean cost of a part to be proved for a step up."
    )
    reason: str = Field(min_length=1, max_length=500)


class EvidenceJson(BaseModel):
    """What the station has shown in its mode."""

    parts: int
    answered: int = Field(description="Of these, with a person's word.")
    cost_a_part: float | None
    limit_a_part: float | None
    e_value: float
    needed: float
    proved: bool = Field(description="It may step up.")
    words: str


class ModeJson(BaseModel):
    """A station's mode. Without limits nothing steps down by itself."""

    station: str
    mode: Word
    since: datetime | None = Field(description="null: nobody ever set it.")
    limit_a_day: float | None
    limit_a_part: float | None
    by: str
    reason: str
    cost_today: float | None = Field(description="Of wrong verdicts; null where the product's file has no `money`.")
    currency: str
    evidence: EvidenceJson | None


@router.get("/stations/{station}/mode")
def mode(station: str, session: SessionDep, context: ContextDep) -> ModeJson:
    """What a station's verdicts may do, and what they have shown."""
    return shown(context, session, station)


@router.post("/stations/{station}/mode")
def change_mode(station: str, wish: ModeWish, session: SessionDep, who: IdentityDep, context: ContextDep) -> ModeJson:
    """Set it. Down at any time; up one step, with proof from the step before: 409 says what is missing."""
    wanted = modes.Wish(modes.Mode(wish.mode), wish.limit_a_day, wish.limit_a_part, wish.reason)
    modes.change(context, session, station, wanted, by=who.name)
    answer = shown(context, session, station)
    session.commit()
    return answer


def shown(context: Context, session: Session, station: str) -> ModeJson:
    """A station's mode in the words of the interface."""
    row = modes.row_of(session, station)
    if row is None:
        nothing: dict[str, Any] = {"since": None, "limit_a_day": None, "limit_a_part": None, "by": "", "reason": ""}
        return ModeJson(station=station, mode="decide", **nothing, cost_today=None, currency="", evidence=None)
    try:
        evidence = modes_evidence.gather(context, session, row)
        cost = modes_evidence.cost_of_day(context, session, row, context.now())
    except Conflict:
        evidence, cost = None, None
    return ModeJson(
        station=station,
        mode=row.mode,  # type: ignore[arg-type]
        since=row.since,
        limit_a_day=row.limit_a_day,
        limit_a_part=row.limit_a_part,
        by=row.by,
        reason=row.reason,
        cost_today=round(cost.amount, 2) if cost else None,
        currency=cost.currency if cost else "",
        evidence=EvidenceJson.model_validate(evidence, from_attributes=True) if evidence else None,
    )
