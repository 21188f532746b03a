"""Products: verdict rules, zones and scale, read and changed; and the scale of a view by a target."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlmodel import Session

from qc.errors import InvalidInput
from qc.records import Exposure
from server import calibrating, products
from server.auth import IdentityDep
from server.context import Context, ContextDep
from server.db import SessionDep
from server.inspections import get_exposure, get_inspection
from server.retention import GONE

router = APIRouter(tags=["products"])


class ViewJson(BaseModel):
    """The newest picture of a station's view."""

    station: str
    view: str
    inspection_id: str
    n: int
    width: int
    height: int
    mm_per_px: float | None = Field(description="By the file as it is now; null: not calibrated.")


class ProductJson(BaseModel):
    """A product's file."""

    name: str
    read: str = Field(description="Names this state of the file; goes along when it is changed.")
    content: dict[str, Any] | None = Field(description="null: it is no YAML, and only an editor can mend it.")
    text: str
    problem: str | None = Field(description="Why the file does not hold; the last good content does.")
    own: bool = Field(description="false: it has no file yet, and the default's holds.")
    classes: list[str] = Field(description="Names of the classes that the serving model finds.")
    views: list[ViewJson]


class ProductNames(BaseModel):
    """Every product with a file, and those of which parts came."""

    items: list[str]


class ProductChange(BaseModel):
    """What the file shall say."""

    read: str
    content: dict[str, Any]


class TargetIn(BaseModel):
    """Which picture shows the target, and what the target is."""

    inspection_id: str = Field(max_length=64)
    n: int = Field(ge=0, le=999)
    columns: int = Field(ge=3, le=100, description="Inner corners from left to right.")
    rows: int = Field(ge=3, le=100, description="Inner corners from top to bottom.")
    square_mm: float = Field(gt=0, lt=10_000, description="Side of a square.")


class ScaleJson(BaseModel):
    """What the target says."""

    station: str
    view: str
    mm_per_px: float
    spread: float = Field(description="Largest deviation of a row or column, as a share; 0: it looks straight down.")
    corners: list[tuple[float, float]]


@router.get("/products")
def list_products(session: SessionDep, context: ContextDep) -> ProductNames:
    """Every product that is known."""
    return ProductNames(items=products.known(session, context))


@router.get("/products/{name}")
def one_product(name: str, session: SessionDep, context: ContextDep) -> ProductJson:
    """Its file, what the model can find on it, and the newest picture of each view."""
    return _shown(context, session, name)


@router.put("/products/{name}")
def change_product(
    name: str, wish: ProductChange, session: SessionDep, who: IdentityDep, context: ContextDep
) -> ProductJson:
    """Write its file; the next part is judged by it. 409 where somebody else changed it meanwhile."""
    products.change(context, session, name, wish.content, read=wish.read, by=who.name, now=context.now())
    answer = _shown(context, session, name)
    session.commit()
    return answer


@router.post("/calibrations")
def scale_by_target(wish: TargetIn, context: ContextDep) -> ScaleJson:
    """Millimetres per pixel from the picture of a chessboard; nothing is stored."""
    with context.database.read() as session:
        exposure = get_exposure(session, wish.inspection_id, wish.n)
        station = get_inspection(session, wish.inspection_id).station
    if exposure.original_key == GONE:
        raise InvalidInput("this picture is no longer kept; send one of the target anew")
    pixels = context.decode(context.blobs.get(exposure.original_key))
    found = calibrating.scale_of(pixels, columns=wish.columns, rows=wish.rows, square_mm=wish.square_mm)
    return ScaleJson(
        station=station,
        view=exposure.view,
        mm_per_px=found.mm_per_px,
        spread=found.spread,
        corners=list(found.corners),
    )


def _shown(context: Context, session: Session, name: str) -> ProductJson:
    text = products.text_of(context, name)
    classes = {found for model in context.need_champion().all_serving() for found in model.classes.values()}
    policy, problem = None, None
    try:
        policy = context.policies.get(name)
        problem = context.policies.problems().get(f"{name}.yaml")
    except InvalidInput as error:
        problem = error.message

    def view(exposure: Exposure) -> ViewJson:
        station = get_inspection(session, exposure.inspection_id).station
        scale = policy.scale(station=station, view=exposure.view) if policy else None
        told = exposure.model_dump(include={"view", "inspection_id", "n", "width", "height"})
        return ViewJson(station=station, **told, mm_per_px=scale)

    return ProductJson(
        name=name,
        read=products.hash_of(text),
        content=products.content_of(text),
        text=text,
        problem=problem,
        own=bool(text),
        classes=sorted(classes),
        views=[view(exposure) for exposure in products.newest_views(session, name)],
    )
