"""The challenger beside the line: where it stands, and the parts that people should decide."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from server import gate, registry, rivals
from server.auth import IdentityDep
from server.context import ContextDep
from server.db import SessionDep
from server.errors import NotAllowed
from server.gate_told import proof_told
from server.routes.models import ModelJson, Place, ProductQuery, StationQuery
from server.where import EVERYWHERE, Where

router = APIRouter(tags=["models"])

Word = Literal["ok", "review", "ng"]


class BoundJson(BaseModel):
    """One bound that the challenger must keep to."""

    name: str
    holds: bool | None = Field(description="null: nobody can tell yet.")
    blocks: bool = Field(description="It keeps the challenger from serving.")
    words: str


class ApprovalWord(BaseModel):
    """A named person's word on the challenger that has proved itself."""

    approved: bool
    reason: str = Field(min_length=1, max_length=500)
    product: str = Field(default="", max_length=64)
    station: str = Field(default="", max_length=64)


class StandingJson(BaseModel):
    """Champion and challenger on the same production parts."""

    product: str = Field(description="Whose champion it is; empty, as `station`: that of everywhere.")
    station: str
    champion: str
    challenger: str
    shadowed: int = Field(description="Parts that both looked at.")
    disagreements: int = Field(description="On which one would pass the part and the other would not.")
    answered: int = Field(description="Of these, those that a person decided.")
    defective: int = Field(description="Parts that people called not good.")
    champion_escapes: int
    challenger_escapes: int
    e_better: float = Field(description="Evidence that the challenger is right more often; it never falls.")
    e_escapes: float = Field(description="Evidence that it does not let more defective parts pass.")
    needed: float = Field(description="Both must reach this.")
    open: bool = Field(description="The challenger has won both wagers.")
    words: str
    bounds: list[BoundJson] = Field(description="What is asked of it besides.")
    proved: bool = Field(description="Wagers and bounds: only an approval may be missing.")
    approval: Literal["not needed", "waiting", "approved", "declined"]
    approval_by: str | None = None


class Disagreement(BaseModel):
    """A part on which champion and challenger disagree."""

    inspection_id: str
    part: str
    station: str
    champion: Word
    challenger: Word
    challenger_score: float
    at: datetime
    decision: Literal["ok", "ng"] | None = Field(description="A person's word; null: nobody has decided yet.")


class Disagreements(BaseModel):
    """Disagreements, newest first."""

    items: list[Disagreement]


@router.get("/models/shadow")
def shadow(
    session: SessionDep, context: ContextDep, product: ProductQuery = "", station: StationQuery = ""
) -> StandingJson:
    """Where the challenger stands, by default that of everywhere; 409 where there is none."""
    return _told(proof_told(context, session, Where(product, station)))


@router.post("/models/shadow/approval")
def approve(word: ApprovalWord, session: SessionDep, who: IdentityDep, context: ContextDep) -> StandingJson:
    """A named person lets the challenger serve that has proved itself, or declines it; 409 before it has."""
    if not who.by_cookie:
        raise NotAllowed("a key is no named person; log in to approve a model")
    where = Where(word.product, word.station)
    told = _told(gate.approve(context, session, where, approved=word.approved, reason=word.reason, by=who.name))
    session.commit()
    answer = {"approval": "approved" if word.approved else "declined", "approval_by": who.name}
    return told.model_copy(update=answer)


def _told(now: gate.Proof) -> StandingJson:
    if now.approval is not None:
        approval = "approved" if now.approval.approved else "declined"
    else:
        approval = "waiting" if now.needs_approval else "not needed"
    return StandingJson(
        **now.standing.as_json(),
        bounds=[BoundJson(**bound.as_json()) for bound in now.bounds],
        proved=now.proved,
        approval=approval,  # type: ignore[arg-type]
        approval_by=now.approval.by if now.approval else None,
    )


@router.get("/models/shadow/disagreements")
def disagreements(
    session: SessionDep,
    unanswered: bool = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    product: ProductQuery = "",
    station: StationQuery = "",
) -> Disagreements:
    """Parts that tell which of the two is better, once a person decides them."""
    rows = gate.disagreements(session, Where(product, station), unanswered=unanswered, limit=limit)
    return Disagreements(
        items=[
            Disagreement(
                inspection_id=row.inspection_id,
                part=inspection.part,
                station=inspection.station,
                champion=row.champion_verdict.value,
                challenger=row.verdict.value,
                challenger_score=row.score,
                at=row.at,
                decision=word.verdict.value if word else None,  # type: ignore[arg-type]
            )
            for row, inspection, word in rows
        ]
    )


@router.post("/models/{id}/challenge")
def challenge(
    id: str, who: IdentityDep, session: SessionDep, context: ContextDep, place: Place | None = None
) -> ModelJson:
    """This model looks on beside the champion from now on; with a product or a station beside the one that serves
    there, which becomes that product's or station's own if it was the champion of all."""
    where = place.where if place is not None else EVERYWHERE
    rivals.name(session, context.events, id, where=where, by=who.name, at=context.now())
    answer = ModelJson(**registry.as_json(registry.get(session, id)))
    session.commit()
    return answer
