"""Where labels contradict each other, and an engineer's word on it, which may become an example of the label book."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import cv2
import numpy as np
from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from labeling import book, book_examples, disputes
from labeling.book_records import Shows
from labeling.disputes import Dispute, DisputeKind
from labeling.masks import drawn_mask
from labeling.push import Pictures, png
from labeling.records import Annotation, LabelTask
from qc.errors import InvalidInput, NotFound
from qc.records import Exposure
from server import audit
from server.auth import IdentityDep
from server.context import Context, ContextDep
from server.db import SessionDep
from server.routes.book import show
from server.studio_service import task_url

router = APIRouter(tags=["label book"])


class VoiceJson(BaseModel):
    """One drawing in a dispute."""

    annotation: str
    label_task: str
    by: str
    view: str
    inspection_id: str
    at: datetime
    drawn: dict[str, int] = Field(description="Class to number of defects; empty: nothing here is a defect.")
    url: str | None = Field(description="Where to mend it; null while it is not in Label Studio.")
    picture: str = Field(description="Address of the crop with this drawing outlined.")


class DisputeJson(BaseModel):
    """A contradiction between drawings that nobody has settled."""

    key: str
    kind: DisputeKind
    part: str
    question: str
    classes: list[str]
    certainty: float = Field(description="0..1: that a label is wrong.")
    voices: list[VoiceJson]


class RulingJson(BaseModel):
    """A dispute that was settled."""

    part: str
    note: str
    by: str
    at: datetime
    annotation: str | None = Field(description="Whose drawing counts; null: all stand.")


class DisputesJson(BaseModel):
    """Open disputes, surest first; and what was settled last."""

    items: list[DisputeJson]
    settled: list[RulingJson]


class ExampleWish(BaseModel):
    """What of the settled drawing becomes an example."""

    class_name: str
    shows: Shows = Shows.IS


class SettleIn(BaseModel):
    """An engineer's word on a dispute."""

    annotation: str | None = Field(None, description="The drawing that is right; null: all of them stand.")
    note: str = Field("", max_length=book_examples.NOTE)
    example: ExampleWish | None = Field(None, description="Only together with `annotation`.")


@router.get("/label-disputes")
async def label_disputes(context: ContextDep) -> DisputesJson:
    """Crops that two people drew differently, and pieces whose views contradict each other."""
    return await run_in_threadpool(_disputes, context)


def _disputes(context: Context) -> DisputesJson:
    classes = dict(context.need_champion().serving().classes)
    with context.database.read() as session:
        found = disputes.open_disputes(session, context.blobs, classes)
        settled = disputes.rulings(session, limit=20)
    return DisputesJson(
        items=[_json(context, each) for each in found],
        settled=[
            RulingJson(part=row.part, note=row.note, by=row.by, at=row.at, annotation=row.annotation_id)
            for row in settled
        ],
    )


@router.post("/label-disputes/{key}/settle")
def settle(
    key: Annotated[str, Path(max_length=64)],
    word: SettleIn,
    who: IdentityDep,
    session: SessionDep,
    context: ContextDep,
) -> RulingJson:
    """Say whose drawing is right, or that all stand. What is learnt from is then that drawing alone."""
    classes = dict(context.need_champion().serving().classes)
    if word.example is not None and word.annotation is None:
        raise InvalidInput("an example shows one drawing; say which one is right")
    now = context.now()
    row, dispute = disputes.settle(
        session,
        context.blobs,
        key,
        annotation_id=word.annotation,
        note=word.note,
        by=who.name,
        now=now,
        classes=classes,
    )
    told = {"part": row.part, "question": dispute.question, "annotation": row.annotation_id, "note": row.note}
    audit.record(session, "label_dispute", row.id, told, by=who.name, at=now)
    context.events.on_commit(session, "label_dispute", {"part": row.part, "annotation": row.annotation_id})
    if word.example is not None:
        session.flush()
        book.check_class(session, word.example.class_name, classes.values())
        example = book_examples.from_task(
            session,
            context.blobs,
            word.example.class_name,
            dispute.voices[0].task.id,
            shows=word.example.shows,
            note=word.note,
            by=who.name,
            now=now,
            classes=classes,
            mistaken=_mistaken(context, dispute, word, classes),
        )
        show(context, session, book_examples.answer(session, example, accept=True, by=who.name, now=now))
    session.commit()
    return RulingJson(part=row.part, note=row.note, by=row.by, at=row.at, annotation=row.annotation_id)


@router.get("/label-drawings/{id}/picture.png", response_class=Response)
def drawing(id: str, session: SessionDep, context: ContextDep) -> Response:
    """A label task's crop with what one person drew outlined."""
    row = session.get(Annotation, id)
    task = session.get(LabelTask, row.label_task_id) if row is not None else None
    exposure = session.get(Exposure, (task.inspection_id, task.n)) if task is not None else None
    if row is None or task is None or exposure is None:
        raise NotFound(f"there is no drawing {id}")
    pixels = Pictures(context.blobs).crop(exposure, task.crop)
    mask = drawn_mask(context.blobs, task, row.mask_key, row.classes, {int(k): v for k, v in row.classes.items()})
    known = np.isin(mask, [int(k) for k in row.classes])
    shown = book_examples.outline(pixels, known)
    if max(shown.shape[:2]) > 1024:
        scale = 1024 / max(shown.shape[:2])
        shown = np.asarray(cv2.resize(shown, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    return Response(png(shown), media_type="image/png", headers={"Cache-Control": "private, no-cache"})


def _mistaken(
    context: Context, dispute: Dispute, word: SettleIn, classes: dict[int, str]
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None:
    """What somebody else drew as the class that is to be shown; None where nobody did."""
    for voice in dispute.voices:
        if word.example and voice.annotation.id != word.annotation and word.example.class_name in voice.drawn:
            row = voice.annotation
            return drawn_mask(context.blobs, voice.task, row.mask_key, row.classes, classes)
    return None


def _json(context: Context, dispute: Dispute) -> DisputeJson:
    return DisputeJson(
        key=dispute.key,
        kind=dispute.kind,
        part=dispute.part,
        question=dispute.question,
        classes=list(dispute.classes),
        certainty=dispute.certainty,
        voices=[
            VoiceJson(
                annotation=voice.annotation.id,
                label_task=voice.task.id,
                by=voice.annotation.by,
                view=voice.task.view,
                inspection_id=voice.task.inspection_id,
                at=voice.annotation.updated_at,
                drawn=dict(voice.drawn),
                url=task_url(context, voice.task),
                picture=f"/api/v1/label-drawings/{voice.annotation.id}/picture.png",
            )
            for voice in dispute.voices
        ],
    )
