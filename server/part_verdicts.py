"""The verdict of a part from all that was seen of it: shown to whoever asks, and recorded where a line acts on it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field
from sqlmodel import Session

from qc.errors import Conflict
from qc.part_verdict import Joined, PartVerdict, judge_part
from server import audit
from server.context import Context
from server.part_looks import Gathered, Known, Registrations, gather, known, newest_of

Word = Literal["ok", "review", "ng"]

PART_VERDICT = "part verdict"
"""Kind of the entries in the audit trail."""

_registrations = Registrations()
"""Of this process: a picture never changes, so how two lie on each other does not either."""


class PartView(BaseModel):
    """One view of the part: the newest picture of a station and view."""

    inspection_id: str
    n: int = Field(description="The image's place in its inspection.")
    station: str
    view: str
    width: int
    height: int
    received_at: datetime
    verdict: Word | None = Field(description="Of this view alone; null where it could not be judged.")
    fault: str | None = Field(description="Why it could not be judged.")


class PartSighting(BaseModel):
    """A defect of the part, as one view shows it."""

    view: int = Field(description="Place in `views`.")
    defect: int = Field(description="Place in that image's `defects`.")
    by_place: bool = Field(description="False: its place is not known there, only that the class is.")


class PartDefect(BaseModel):
    """What is suspected of being one physical defect."""

    number: int = Field(description="From 1, worst first.")
    class_name: str = Field(serialization_alias="class")
    verdict: Word
    chance: float | None = Field(description="That it is a defect; null where the worst view decides.")
    sightings: list[PartSighting]
    silent: list[int] = Field(description="Places in `views` that might have shown it and did not.")


class PartClass(BaseModel):
    """How likely the part has a defect of a class."""

    class_name: str = Field(serialization_alias="class")
    chance: float
    seen: float = Field(description="That one of those that are suspected is one.")
    hidden: float = Field(description="That one is there that no view showed.")


class PartDecision(BaseModel):
    """The newest word of a person on any inspection of the part."""

    inspection_id: str
    verdict: Literal["ok", "ng"]
    reason: str
    by: str
    at: datetime


class PartOut(BaseModel):
    """A part, judged from all of its views."""

    part: str
    product: str
    verdict: Word
    reason: str = Field(description="In one sentence.")
    chance: float | None = Field(
        description="That it has a defect that counts under the policy; null: worst view decides."
    )
    rule: Literal["all views", "worst view"] = Field(description="`worst view`: the model learnt nothing about views.")
    model: str
    views: list[PartView]
    missing: list[str] = Field(description="Views that such parts have, and this one has not.")
    defects: list[PartDefect]
    classes: list[PartClass]
    inspections: int
    replaced: int = Field(description="Older looks of the same station and view, in whose place newer ones count.")
    waiting: int = Field(description="Inspections of the part that are not judged yet.")
    decision: PartDecision | None


def look_at(context: Context, session: Session, part: str) -> PartOut:
    """The part as it stands now; nothing is recorded.

    Raises:
        NotFound: nobody inspected such a part.
    """
    return _judge(context, session, part)[0]


def make_verdict(context: Context, part: str) -> tuple[PartOut, dict[str, object]]:
    """Judge the part, and what the audit trail is to keep of it. It reads pictures: not within a writing transaction.

    Raises:
        NotFound: nobody inspected such a part.
        Conflict: an inspection of it is not judged yet.
    """
    with context.database.read() as session:
        shown, gathered = _judge(context, session, part)
    if gathered.waiting:
        raise Conflict(f"{gathered.waiting} inspections of part {part} are not judged yet; ask again in a moment")
    return shown, {
        "part": part,
        "product": shown.product,
        "verdict": shown.verdict,
        "reason": shown.reason,
        "chance": shown.chance,
        "rule": shown.rule,
        "model": shown.model,
        "images": [exposure.sha256 for exposure in gathered.exposures],
        "newest": gathered.inspections[-1].id,
    }


def record_verdict(context: Context, session: Session, body: dict[str, object], *, by: str) -> None:
    """Seal a part's verdict in the audit trail; the caller commits.

    Raises:
        Conflict: the part was inspected again since it was judged.
    """
    newest = newest_of(session, str(body["part"]))
    if newest is None or newest != body["newest"]:
        raise Conflict(f"part {body['part']} was inspected again meanwhile; ask again")
    audit.record(session, PART_VERDICT, newest, body, by=by, at=context.now())
    context.events.on_commit(session, "part", {"id": newest, **body})


def _judge(context: Context, session: Session, part: str) -> tuple[PartOut, Gathered]:
    model = known(context, session, None)
    gathered = gather(session, part, threshold=model.threshold)
    judged_by = next((row.model for row in reversed(gathered.inspections) if row.model), None)
    if judged_by not in (None, model.model):
        model = known(context, session, judged_by)
        gathered = gather(session, part, threshold=model.threshold)
    said = judge_part(
        gathered.looks,
        _registrations.of_part(gathered.looks, gathered.exposures, context),
        context.policies.get(gathered.product),
        model.settings,
        threshold=model.threshold,
    )
    return _show(gathered, said, model), gathered


def _show(gathered: Gathered, said: PartVerdict, model: Known) -> PartOut:
    of = {row.id: row for row in gathered.inspections}
    word = gathered.decision
    return PartOut(
        part=gathered.part,
        product=gathered.product,
        verdict=said.verdict.value,
        reason=said.reason,
        chance=None if said.chance is None else round(said.chance, 6),
        rule="worst view" if model.settings is None else "all views",
        model=model.model,
        views=[
            PartView(
                inspection_id=exposure.inspection_id,
                n=exposure.n,
                station=of[exposure.inspection_id].station,
                view=exposure.view,
                width=exposure.width,
                height=exposure.height,
                received_at=of[exposure.inspection_id].received_at,
                verdict=None if look.fault or exposure.verdict is None else exposure.verdict.value,
                fault=look.fault,
            )
            for look, exposure in zip(gathered.looks, gathered.exposures, strict=True)
        ],
        missing=list(said.missing),
        defects=[_defect(number, one) for number, one in enumerate(said.defects, start=1)],
        classes=[
            PartClass(class_name=name, chance=round(c.chance, 6), seen=round(c.seen, 6), hidden=round(c.hidden, 6))
            for name, c in said.classes.items()
        ],
        inspections=len(gathered.inspections),
        replaced=gathered.replaced,
        waiting=gathered.waiting,
        decision=word
        and PartDecision(
            inspection_id=word.inspection_id,
            verdict=word.verdict.value,  # type: ignore[arg-type]
            reason=word.reason,
            by=word.by,
            at=word.at,
        ),
    )


def _defect(number: int, one: Joined) -> PartDefect:
    return PartDefect(
        number=number,
        class_name=one.class_name,
        verdict=one.verdict.value,
        chance=None if one.chance is None else round(one.chance, 6),
        sightings=[
            PartSighting(view=s.look, defect=s.defect, by_place=by_place)
            for by_place, several in ((True, one.sightings), (False, one.by_presence))
            for s in several
        ],
        silent=list(one.silent),
    )
