"""Sending pictures in, reading what was found, deciding."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, File, Form, Query, Response, UploadFile
from starlette.concurrency import run_in_threadpool

from qc.errors import InvalidInput
from qc.finite import is_finite
from qc.verdict import Verdict
from server import inspections
from server.access import Role
from server.auth import IdentityDep
from server.context import ContextDep
from server.db import SessionDep
from server.deciding import decide
from server.orders import Order, Picture
from server.schemas import DecisionIn, InspectionOut, InspectionPage

router = APIRouter(tags=["inspections"])


@router.post(
    "/inspections", status_code=201, responses={200: {"model": InspectionOut, "description": "Known trigger."}}
)
async def inspect(
    context: ContextDep,
    response: Response,
    image: Annotated[list[UploadFile], File(description="1..n pictures of the part: JPEG, PNG, BMP or TIFF.")],
    station: Annotated[str, Form(description="Where it was looked at.")],
    part: Annotated[
        str, Form(description="The physical piece; may be left out at a station that reads codes off its parts.")
    ] = "",
    view: Annotated[list[str] | None, Form(description="Camera angle or lighting, one for each image.")] = None,
    trigger_id: Annotated[str | None, Form(description="The line's name for this trigger.")] = None,
    product: Annotated[str, Form(description="Whose policy holds; empty: the default.")] = "",
    process: Annotated[str, Form(description='JSON: {"step.setting or step.measurement": number}.')] = "",
) -> InspectionOut:
    """Inspect a part. The same `trigger_id` of a station again gives the first answer, and stores nothing."""
    started = time.perf_counter()
    views = view or [""] * len(image)
    if len(views) != len(image):
        raise InvalidInput(
            f"there are {len(image)} images but {len(views)} views; send one view for each image, or none"
        )
    inspector = context.need_inspector()
    pictures = [
        Picture(await file.read(), (file.filename or "").replace("\\", "/").rsplit("/", 1)[-1], name)
        for file, name in zip(image, views, strict=True)
    ]
    order = Order(part, station, pictures, trigger_id or None, product, process_values(process))

    def work() -> tuple[InspectionOut, bool]:
        taken = inspector.take(order, started=started)
        inspector.wait(taken.inspection_id)
        with context.database.read() as session:
            return inspections.show_one(context, session, taken.inspection_id), taken.new

    try:
        shown, new = await run_in_threadpool(work)
    except InvalidInput:
        context.metrics.rejected.labels("rest").inc()
        raise
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/api/v1/inspections/{shown.id}"
    return inspections.for_the_line(shown)


def process_values(text: str) -> dict[str, float]:
    """Process values from the form field; raises InvalidInput naming what is wrong."""
    if not text:
        return {}
    try:
        values = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"process must be a JSON object: {error}") from error
    if not isinstance(values, dict) or len(values) > 10_000:
        raise InvalidInput('process must be a JSON object such as {"s01-draw.force": 14.2}, of at most 10000 values')
    for name, value in values.items():
        if not is_finite(value):
            raise InvalidInput(f"process value {name[:80]} must be a finite number, not {value!r:.80}")
    return {name: float(value) for name, value in values.items()}


@router.get("/inspections")
def list_inspections(
    session: SessionDep,
    context: ContextDep,
    who: IdentityDep,
    station: str | None = None,
    verdict: Verdict | None = None,
    part: str | None = None,
    since: datetime | None = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> InspectionPage:
    """Inspections, newest first; outlines are left out."""
    found = inspections.page(
        context, session, station=station, verdict=verdict, part=part, since=since, cursor=cursor, limit=limit
    )
    if who.role == Role.MACHINE:
        found.items = [inspections.for_the_line(one) for one in found.items]
    return found


@router.get("/inspections/{inspection_id}")
def one_inspection(inspection_id: str, session: SessionDep, who: IdentityDep, context: ContextDep) -> InspectionOut:
    """One inspection, with outlines; a machine learns nothing of what is only looked at in shadow."""
    shown = inspections.show_one(context, session, inspection_id)
    return inspections.for_the_line(shown) if who.role == Role.MACHINE else shown


@router.post("/inspections/{inspection_id}/decision", status_code=201)
def decide_inspection(
    inspection_id: str, word: DecisionIn, session: SessionDep, who: IdentityDep, context: ContextDep
) -> InspectionOut:
    """The operator's word; it becomes a labelling task where it disagrees with the verdict."""
    decide(context, session, inspection_id, Verdict(word.verdict), word.reason, by=who.name, id=word.id)
    session.commit()
    shown = inspections.show_one(context, session, inspection_id)
    return inspections.for_the_line(shown) if who.role == Role.MACHINE else shown
