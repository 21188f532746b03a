"""Similar defects, and classes learnt from a few examples."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from qc.errors import Unavailable
from server import features, features_heads, features_search, features_similar
from server.auth import IdentityDep
from server.context import Context, ContextDep
from server.db import SessionDep
from server.features_search import PARTS, TASKS
from server.features_service import FeatureService
from server.jobs import queue
from server.routes.jobs import JobJson

router = APIRouter(tags=["features"])


class SimilarJson(BaseModel):
    """A defect that looks like the one asked about, and what was said of it."""

    inspection_id: str
    n: int = Field(description="Which image.")
    defect: int = Field(description="Place on that image, from 0.")
    similarity: float = Field(description="Cosine of the angle between what the encoder saw, -1 to 1.")
    part: str
    station: str
    view: str
    received_at: datetime
    model_class: str
    score: float
    label: str | None = Field(description="What a person drew there: a class, empty for nothing, null for no word.")
    verdict: Literal["ok", "review", "ng"] | None
    decision: Literal["ok", "ng"] | None
    reason: str
    bbox: list[int]
    width: int
    height: int
    picture: bool = Field(description="Is the picture still kept?")
    process: dict[str, dict[str, float]] = Field(
        description="How its part was made: process, `step.setting` or `step.measurement`, value; as far as told."
    )


class SuggestionJson(BaseModel):
    """What a quick head said of the defect when its part was judged."""

    name: str
    probability: float
    moved: bool = Field(description="It sent the part to review, which the model alone would have called ok.")


class SimilarPage(BaseModel):
    """The most alike first."""

    items: list[SimilarJson]
    suggestions: list[SuggestionJson]


class HeadJson(BaseModel):
    """A class learnt from a few examples."""

    id: str
    name: str
    encoder: str
    created_at: datetime
    by: str
    retired_at: datetime | None
    figures: dict[str, Any] = Field(description="On left-out examples: average precision, recall, false alarms.")
    examples: int
    to_review: bool


class HeadPage(BaseModel):
    """Heads, newest first."""

    items: list[HeadJson]


class Example(BaseModel):
    """One defect of a part."""

    inspection: str
    defect: int = Field(ge=0, description="Counted from 0 over all images of the part, in their order.")


class HeadIn(BaseModel):
    """A class to be learnt."""

    name: str = Field(min_length=1, max_length=64)
    examples: list[Example] = Field(default=[], max_length=1000, description="None: what people labelled so.")
    to_review: bool = Field(default=False, description="May it send a part to a person that the model calls ok?")


class SearchIn(BaseModel):
    """A class to be looked for in past pictures."""

    name: str = Field(min_length=1, max_length=64, description="As people drew or named it, four times or more.")
    parts: int = Field(default=PARTS, ge=1, le=5000, description="Parts that are looked at, the newest first.")
    tasks: int = Field(default=TASKS, ge=1, le=50, description="Parts that people are asked about, at most.")


@router.get("/inspections/{inspection_id}/defects/{number}/similar")
def similar_defects(
    inspection_id: str,
    number: int,
    session: SessionDep,
    context: ContextDep,
    limit: Annotated[int, Query(ge=1, le=50)] = 6,
) -> SimilarPage:
    """Seen before, and what was it? Defects are counted from 0 over all images of the part."""
    service = _service(context)
    key = features_heads.place_of(session, inspection_id, number)
    encoder = features.encoder_of(session, [key])
    found = features_similar.similar(session, service.index(encoder), key, encoder=encoder, count=limit)
    said = features_similar.suggestions(session, key)
    return SimilarPage(
        items=[SimilarJson(**asdict(one)) for one in found],
        suggestions=[SuggestionJson(name=s.name, probability=s.probability, moved=s.moved) for s in said],
    )


@router.get("/heads")
def list_heads(session: SessionDep) -> HeadPage:
    """Classes learnt from a few examples."""
    return HeadPage(items=[HeadJson(**features_heads.as_json(row)) for row in features_heads.newest(session)])


@router.post("/heads", status_code=201)
def learn_head(wish: HeadIn, who: IdentityDep, context: ContextDep) -> HeadJson:
    """Learn a class from a few defects, within seconds; it suggests from the next part on.

    The first of a name is looked for once in past pictures, too, as by `/heads/search`.
    """
    service = _service(context)
    with context.database.read() as session:
        keys = [features_heads.place_of(session, one.inspection, one.defect) for one in wish.examples]
        encoder = features.encoder_of(session, keys) if keys else service.encoder
        learnt = features_heads.learn(session, wish.name, encoder=encoder, examples=keys)
    with context.database.write() as session:
        row = features_heads.keep(session, learnt, to_review=wish.to_review, by=who.name, now=context.now())
        features_search.ask_once(session, row.name, by=who.name, now=context.now())
        answer = HeadJson(**features_heads.as_json(row))
        session.commit()
    service.changed()
    return answer


@router.post("/heads/search", status_code=202)
def search_class(wish: SearchIn, session: SessionDep, who: IdentityDep, context: ContextDep) -> JobJson:
    """Look for a class at every place of past pictures, also where the model saw nothing; people are asked what it is.

    The class is learnt from what people drew, or named for a quick head of it. What looks most like it becomes label
    tasks; no verdict changes.
    """
    now = context.now()
    asked = features_search.ask(session, wish.name, parts=wish.parts, tasks=wish.tasks, by=who.name, now=now)
    answer = JobJson(**queue.as_json(asked))
    session.commit()
    return answer


@router.post("/heads/{id}/retire")
def retire_head(id: str, session: SessionDep, who: IdentityDep, context: ContextDep) -> HeadJson:
    """It suggests nothing from now on."""
    answer = HeadJson(**features_heads.as_json(features_heads.retire(session, id, by=who.name, now=context.now())))
    session.commit()
    _service(context).changed()
    return answer


def _service(context: Context) -> FeatureService:
    if context.features is None:
        raise Unavailable("features are not kept here (QC_FEATURES)")
    return context.features
