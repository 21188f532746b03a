"""The pictures of an inspection: as sent, with the defects drawn in, as a mask, in tiles."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from qc.errors import NotFound
from qc.frame import Pixels
from qc.geometry import Box
from qc.ports import BlobStore
from qc.records import Exposure
from server import comparing, judging, pictures, thumbnails
from server.context import Context, ContextDep
from server.db import SessionDep
from server.inspections import get_exposure, get_inspection
from server.retention import GONE

router = APIRouter(prefix="/inspections/{inspection_id}/images/{n}", tags=["images"])

FOREVER = "private, max-age=31536000, immutable"
"""For what is a function of stored bytes alone."""

MEDIA = {"JPEG": "image/jpeg", "PNG": "image/png", "BMP": "image/bmp", "TIFF": "image/tiff"}


_comparer = comparing.Comparer()
"""Of this process: a picture never changes, so how two lie on each other does not either."""


def _decoder(exposure: Exposure, context: Context) -> Callable[[], Pixels]:
    return lambda: context.decode(_bytes(exposure, context.blobs))


def _bytes(exposure: Exposure, blobs: BlobStore) -> bytes:
    """What the camera sent; raises NotFound where its time is over."""
    if exposure.original_key == GONE:
        raise NotFound("this picture was removed after the days that pictures are kept; its verdict and defects stay")
    return blobs.get(exposure.original_key)


def _answer(request: Request, media: str, tag: str, make: Callable[[], bytes]) -> Response:
    """The bytes, or 304 when the browser has them already; made only when needed."""
    headers = {"ETag": f'"{tag}"', "Cache-Control": FOREVER}
    if f'"{tag}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(make(), media_type=media, headers=headers)


@router.get("/original", response_class=Response)
def original(inspection_id: str, n: int, session: SessionDep, context: ContextDep, request: Request) -> Response:
    """The bytes the camera sent, untouched; the ETag is their SHA-256."""
    exposure = get_exposure(session, inspection_id, n)
    return _answer(request, MEDIA[exposure.format], exposure.sha256, lambda: _bytes(exposure, context.blobs))


@router.get("/overlay.png", response_class=Response)
def overlay(
    inspection_id: str, n: int, session: SessionDep, context: ContextDep, request: Request, fill: bool = False
) -> Response:
    """The picture with its defects outlined, or filled."""
    exposure = get_exposure(session, inspection_id, n)
    progress = get_inspection(session, inspection_id).progress

    def make() -> bytes:
        instances = judging.read_instances(exposure, context.blobs)
        pixels = _decoder(exposure, context)()
        return pictures.png(pictures.overlay(pixels, exposure.defects, instances, fill=fill))

    return _answer(request, "image/png", f"{inspection_id}-{n}-overlay-{fill}-{progress}", make)


@router.get("/mask.png", response_class=Response)
def mask(inspection_id: str, n: int, session: SessionDep, context: ContextDep, request: Request) -> Response:
    """Class ids of the defects that count, 0 elsewhere, at native size."""
    exposure = get_exposure(session, inspection_id, n)
    progress = get_inspection(session, inspection_id).progress

    def make() -> bytes:
        instances = judging.read_instances(exposure, context.blobs)
        return pictures.png(pictures.class_mask(exposure.defects, instances))

    return _answer(request, "image/png", f"{inspection_id}-{n}-mask-{progress}", make)


@router.get("/thumbnail.jpg", response_class=Response)
def thumbnail(
    inspection_id: str,
    n: int,
    session: SessionDep,
    context: ContextDep,
    request: Request,
    size: Annotated[int, Query(ge=64, le=1024, description="Longer side in pixels.")] = thumbnails.SIZE,
) -> Response:
    """The picture made small."""
    exposure = get_exposure(session, inspection_id, n)

    def make() -> bytes:
        return thumbnails.thumbnail(context.cache, exposure.sha256, size, _decoder(exposure, context))

    return _answer(request, "image/jpeg", f"{exposure.sha256}-{size}", make)


class GoodJson(BaseModel):
    """The last good part that was seen like this one."""

    inspection_id: str
    n: int
    part: str
    received_at: datetime
    confirmed_by: str = Field(description="Who said that it is ok; empty: the model alone.")


@router.get("/good")
def good(inspection_id: str, n: int, session: SessionDep) -> GoodJson | None:
    """The last good part of this station, product and view, best one that a person confirmed; null: there is none."""
    found = comparing.last_good(session, inspection_id, n)
    if found is None:
        return None
    return GoodJson(
        inspection_id=found.inspection.id,
        n=found.exposure.n,
        part=found.inspection.part,
        received_at=found.inspection.received_at,
        confirmed_by=found.confirmed_by,
    )


@router.get("/difference.png", response_class=Response)
def difference(
    inspection_id: str,
    n: int,
    good: Annotated[str, Query(description="Inspection of the good part.", max_length=64)],
    good_n: Annotated[int, Query(ge=0, description="Its image.")],
    session: SessionDep,
    context: ContextDep,
    x: Annotated[int, Query(ge=0)] = 0,
    y: Annotated[int, Query(ge=0)] = 0,
    width: Annotated[int | None, Query(ge=1, description="Of the part of the picture that is compared.")] = None,
    height: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """Where a part differs from a good one, in brightness, four times; black where they are equal.

    `QC-Laid` says how they were laid on each other: `registered`, or `as it lay` in the fixture.
    """
    this, other = get_exposure(session, inspection_id, n), get_exposure(session, good, good_n)
    box = Box(x, y, width or this.width, height or this.height)
    mine, theirs = (comparing.Taken(one, _decoder(one, context)) for one in (this, other))
    found, laid = _comparer.difference(context.cache, mine, theirs, box)
    return Response(pictures.png(found), media_type="image/png", headers={"QC-Laid": laid, "Cache-Control": FOREVER})


@router.get("/tiles/{level}/{column}_{row}.jpg", response_class=Response)
def tile(
    inspection_id: str,
    n: int,
    level: int,
    column: int,
    row: int,
    session: SessionDep,
    context: ContextDep,
    request: Request,
) -> Response:
    """A Deep Zoom tile of 512 pixels, without overlap; the highest level is full size."""
    exposure = get_exposure(session, inspection_id, n)

    def make() -> bytes:
        size = (exposure.width, exposure.height)
        decoder = _decoder(exposure, context)
        return pictures.tile(context.cache, exposure.sha256, size, level, column, row, decode=decoder)

    return _answer(request, "image/jpeg", f"{exposure.sha256}-{level}-{column}-{row}", make)
