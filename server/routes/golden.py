"""Golden parts: declared by an engineer, looked at by every model before it serves."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlmodel import Session, col, select

from qc.verdict import Verdict
from server import golden, golden_needs, registry, rivals
from server.auth import IdentityDep
from server.context import ContextDep
from server.db import SessionDep
from server.golden_records import GoldenLook, GoldenSet
from server.jobs import queue
from server.policies import check_product
from server.routes.jobs import JobJson

router = APIRouter(tags=["golden parts"])


class GoldenVersion(BaseModel):
    """One version of a product's golden parts; it never changes."""

    id: str = Field(description="A hash over the parts' truths and pictures.")
    product: str
    version: int
    parts: int
    ok: int
    ng: int
    erased: int = Field(description="Parts of it that were erased since.")
    reason: str
    by: str
    at: datetime


class GoldenPartJson(BaseModel):
    """One golden part."""

    inspection_id: str
    part: str
    station: str
    truth: Literal["ok", "ng"]
    pictures: list[str] = Field(description="SHA-256 of each.")


class GoldenLookJson(BaseModel):
    """What a model said of the version."""

    model: str
    why: str
    at: datetime
    escapes: int
    false_rejects: int
    passed: bool
    wrong: list[str] = Field(description="Inspections whose truth it missed.")
    words: str


class GoldenVersions(BaseModel):
    """The versions in force."""

    items: list[GoldenVersion]


class GoldenShown(GoldenVersion):
    """A version with its parts, and what models said of it, newest first."""

    items: list[GoldenPartJson]
    looks: list[GoldenLookJson]


class GoldenWord(BaseModel):
    """A change to a product's golden parts."""

    add: dict[str, Literal["ok", "ng"]] = Field(default={}, description="Inspection -> its truth.")
    remove: list[str] = Field(default=[], description="Inspections that are golden no more.")
    reason: str = Field(min_length=1, max_length=500)


@router.get("/golden")
def golden_versions(session: SessionDep) -> GoldenVersions:
    """The golden parts in force, of every product that has some."""
    return GoldenVersions(items=[GoldenVersion(**golden.as_json(session, one)) for one in golden.in_force(session)])


@router.get("/golden/{product}")
def golden_version(
    product: str, session: SessionDep, version: Annotated[int | None, Query(ge=1)] = None
) -> GoldenShown:
    """One version, by default the one in force. 409 where it was altered since it was declared."""
    return _shown(session, golden.version(session, product, version))


@router.post("/golden/{product}", status_code=201)
def declare(product: str, word: GoldenWord, who: IdentityDep, context: ContextDep) -> GoldenShown:
    """Declare golden parts: the product's next version. The champion and a challenger look at them at once."""
    now, product = context.now(), check_product(product)
    add = {inspection: Verdict(truth) for inspection, truth in word.add.items()}
    golden.copy_pictures(context.database, context.blobs, product, add)
    with context.database.write() as session:
        one = golden.declare(
            session, context.blobs, product, add=add, remove=word.remove, reason=word.reason, by=who.name, now=now
        )
        for model in (None, *sorted({pair.challenger.id for pair in rivals.all_pairs(session)})):
            golden_needs.ask(session, model=model, why=f"declared by {who.name}", now=now)
        answer = _shown(session, one)
        session.commit()
    return answer


@router.post("/golden-looks", status_code=202)
def look(session: SessionDep, who: IdentityDep, context: ContextDep, model: str | None = None) -> JobJson:
    """Let a model, by default the champion, look at the golden parts of every product now."""
    if model is not None:
        registry.get(session, model)
    asked = golden_needs.ask(session, model=model, why=f"asked by {who.name}", now=context.now())
    answer = JobJson(**queue.as_json(asked))
    session.commit()
    return answer


def _shown(session: Session, one: GoldenSet) -> GoldenShown:
    parts = golden.parts_of(session, one)
    at = {part.place: part.inspection_id for part in parts}
    looks = select(GoldenLook).where(GoldenLook.golden_set == one.id).order_by(col(GoldenLook.id).desc()).limit(50)
    return GoldenShown(
        **golden.as_json(session, one),
        items=[
            GoldenPartJson(
                inspection_id=part.inspection_id,
                part=part.part,
                station=part.station,
                truth=part.truth,  # type: ignore[arg-type]
                pictures=[str(picture["sha256"]) for picture in part.pictures],
            )
            for part in parts
        ],
        looks=[
            GoldenLookJson(
                model=seen.model,
                why=seen.why,
                at=seen.at,
                escapes=seen.escapes,
                false_rejects=seen.false_rejects,
                passed=seen.passed,
                wrong=[at[each["place"]] for each in seen.results if each["wrong"] and each["place"] in at],
                words=golden_needs.words(seen),
            )
            for seen in session.exec(looks)
        ],
    )
