"""The label book: what each class is, from which size on, examples from real parts, and who changed what."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from labeling import book, book_examples
from labeling.book_records import BookExample, BookPage, ExampleState, Shows
from qc.errors import Conflict, InvalidInput
from qc.geometry import Box
from server import audit
from server.access import Role
from server.auth import Identity, IdentityDep
from server.context import Context, ContextDep
from server.db import SessionDep
from server.inspections import get_inspection
from server.jobs import queue
from server.studio_service import PUSH

router = APIRouter(tags=["label book"])

ClassName = Annotated[str, Path(alias="class", description="Name of a class.")]


class LimitJson(BaseModel):
    """From which size on, or up to which, something is labelled as the class."""

    measure: Literal["length_mm", "width_mm", "area_mm2"]
    low: float | None = Field(None, ge=0, description="mm, or mm² for the area; null: no limit.")
    high: float | None = Field(None, ge=0)


class ExampleJson(BaseModel):
    """A place on a real part that shows the class, or what is mistaken for it."""

    id: str
    shows: Shows
    state: ExampleState
    note: str
    part: str
    view: str
    inspection_id: str
    n: int
    crop: list[int] = Field(description="x, y, width, height in pixels of the image.")
    by: str
    at: datetime
    picture: str = Field(description="Address of the picture; with `?outlined=false` as the camera saw it.")


class ChangeJson(BaseModel):
    """A version of a class's page."""

    version: int
    change: str
    by: str
    at: datetime


class PageJson(BaseModel):
    """What the book says of a class."""

    name: str
    version: int = Field(description="Of the book when this page was last changed; 0: nothing is written yet.")
    definition: str
    limits: list[LimitJson]
    examples: list[ExampleJson]
    proposals: list[ExampleJson] = Field(description="Examples that wait for an engineer's word.")
    served: bool = Field(description="The model that serves knows this class, and labellers are offered it.")
    history: list[ChangeJson] = Field(description="Newest first.")


class BookJson(BaseModel):
    """The whole book."""

    version: int = Field(description="Rises by one with every change; data sets name it.")
    classes: list[PageJson]


class PageIn(BaseModel):
    """A class's definition and limits."""

    definition: str = Field(max_length=book.LONGEST)
    limits: list[LimitJson] = []
    after: int = Field(0, ge=0, description="Version of the page that this was made from; 0: there was none.")


class ExampleIn(BaseModel):
    """What to show: what people drew on a label task, or a place of an inspection."""

    shows: Shows = Shows.IS
    note: str = Field("", max_length=book_examples.NOTE)
    label_task: str | None = None
    inspection_id: str | None = None
    n: int = Field(0, ge=0, le=2**31 - 1, description="Which image of the inspection.")
    crop: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(min_length=4, max_length=4)] | None = Field(
        None, description="x, y, width, height in pixels of the image; null: around the surest such defect."
    )


class AnswerIn(BaseModel):
    """Does an example belong into the book?"""

    accept: bool


@router.get("/label-book")
def label_book(session: SessionDep, context: ContextDep) -> BookJson:
    """Every class that the serving model or the book knows."""
    served, pages = _served(context), book.pages(session)
    names = sorted({*served, *pages})
    return BookJson(version=book.version(session), classes=[_page(session, name, served) for name in names])


@router.get("/label-book/{class}")
def label_book_page(
    name: ClassName,
    session: SessionDep,
    context: ContextDep,
    version: Annotated[int | None, Query(ge=1, description="As the book was then.")] = None,
) -> PageJson:
    """What the book says of a class, now or in an earlier version."""
    served = _served(context)
    book.check_class(session, name, served)
    return _page(session, name, served, at=version)


@router.put("/label-book/{class}")
def write_page(name: ClassName, wish: PageIn, who: IdentityDep, session: SessionDep, context: ContextDep) -> PageJson:
    """Define a class. Labellers are told at once: on its label, and in the instructions of Label Studio."""
    served = _served(context)
    book.check_class(session, name, served)
    limits = [book.Limit(limit.measure, limit.low, limit.high) for limit in wish.limits]
    before = book.version(session)
    page = book.write(
        session,
        name,
        definition=wish.definition,
        limits=limits,
        after=wish.after,
        by=who.name,
        now=context.now(),
    )
    _commit(context, session, page if page.version > before else None)
    return _page(session, name, served)


@router.post("/label-book/{class}/examples", status_code=201)
def propose_example(
    name: ClassName, wish: ExampleIn, who: IdentityDep, session: SessionDep, context: ContextDep
) -> ExampleJson:
    """Show a place on a real part. An engineer's example stands at once; a labeller's waits for an engineer's word."""
    served = _served(context)
    book.check_class(session, name, served)
    if (wish.label_task is None) == (wish.inspection_id is None):
        raise InvalidInput("an example shows a label task or a place of an inspection; name one of the two")
    example = _example(session, context, name, wish, who)
    session.add(example)
    told = {"class": name, "shows": str(example.shows), "part": example.part, "note": example.note}
    audit.record(session, "label_book.example", example.id, told, by=who.name, at=context.now())
    page = None
    if who.role in (Role.ENGINEER, Role.ADMIN):
        page = book_examples.answer(session, example, accept=True, by=who.name, now=context.now())
    _commit(context, session, page)
    return _example_json(example)


@router.post("/label-examples/{id}/answer")
def answer_example(id: str, word: AnswerIn, who: IdentityDep, session: SessionDep, context: ContextDep) -> ExampleJson:
    """Take an example into the book, decline it, or take it out again."""
    example = book_examples.get(session, id)
    before = example.state
    page = book_examples.answer(session, example, accept=word.accept, by=who.name, now=context.now())
    if example.state is not before:
        told = {"class": example.class_name, "state": str(example.state), "part": example.part}
        audit.record(session, "label_book.answer", example.id, told, by=who.name, at=context.now())
    _commit(context, session, page)
    return _example_json(example)


@router.get("/label-examples/{id}/picture.png", response_class=Response)
def example_picture(
    id: str, session: SessionDep, context: ContextDep, request: Request, outlined: bool = True
) -> Response:
    """The place at native resolution, with what is drawn outlined."""
    example = book_examples.get(session, id)
    tag = f'"{id}-{outlined}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=3600"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    data = book_examples.picture(context.blobs, example, outlined=outlined)
    return Response(data, media_type="image/png", headers=headers)


def show(context: Context, session: Session, page: BookPage | None) -> None:
    """A page was added: it is told in the audit trail, to whoever listens, and to Label Studio. The caller commits."""
    if page is None:
        return
    told = {"class": page.class_name, "change": page.change, **book.body(page)}
    audit.record(session, "label_book", str(page.version), told, by=page.by, at=page.at)
    context.events.on_commit(session, "label_book", {"version": page.version, "class": page.class_name})
    if context.settings.label_studio:
        queue.enqueue(session, PUSH, now=context.now(), key=PUSH, again=True)


def _commit(context: Context, session: Session, page: BookPage | None) -> None:
    try:
        show(context, session, page)
        session.commit()
    except IntegrityError as error:
        raise Conflict("the label book was changed at the same moment; read it again and repeat") from error


def _served(context: Context) -> list[str]:
    """Names of the classes of the model that serves."""
    return [str(name) for name in context.need_champion().serving().classes.values()]


def _example(session: Session, context: Context, name: str, wish: ExampleIn, who: Identity) -> BookExample:
    if wish.label_task is not None:
        return book_examples.from_task(
            session,
            context.blobs,
            name,
            wish.label_task,
            shows=wish.shows,
            note=wish.note,
            by=who.name,
            now=context.now(),
            classes=dict(context.need_champion().serving().classes),
        )
    inspection = get_inspection(session, str(wish.inspection_id))
    return book_examples.from_inspection(
        session,
        context.blobs,
        name,
        inspection.id,
        wish.n,
        crop=None if wish.crop is None else Box(*wish.crop),
        part=inspection.part,
        shows=wish.shows,
        note=wish.note,
        by=who.name,
        now=context.now(),
    )


def _page(session: Session, name: str, served: Iterable[str], *, at: int | None = None) -> PageJson:
    page = book.pages(session, at=at).get(name)
    rows = {row.id: row for row in book_examples.of_class(session, name, also=page.examples if page else ())}
    standing = [rows[key] for key in (page.examples if page else []) if key in rows]  # an erased part's are gone
    return PageJson(
        name=name,
        version=page.version if page else 0,
        definition=page.definition if page else "",
        limits=[LimitJson.model_validate(limit) for limit in (page.limits if page else [])],
        examples=[_example_json(row) for row in standing],
        proposals=[_example_json(row) for row in rows.values() if row.state is ExampleState.PROPOSED],
        served=name in served,
        history=[
            ChangeJson(version=row.version, change=row.change, by=row.by, at=row.at)
            for row in book.history(session, name)
        ],
    )


def _example_json(row: BookExample) -> ExampleJson:
    return ExampleJson(
        id=row.id,
        shows=row.shows,
        state=row.state,
        note=row.note,
        part=row.part,
        view=row.view,
        inspection_id=row.inspection_id,
        n=row.n,
        crop=row.crop.as_list(),
        by=row.by,
        at=row.at,
        picture=f"/api/v1/label-examples/{row.id}/picture.png",
    )
