"""The guide from an empty system to the first verdict: how far it is, and leaving it or taking it up."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from server import first_run
from server.context import ContextDep
from server.db import SessionDep
from server.first_run import Name

router = APIRouter(tags=["first run"])


class StepJson(BaseModel):
    """A step, as the installation is now."""

    name: Name
    done: bool
    optional: bool
    detail: str = Field(description="What it is done with: a product, a station, a part; empty: nothing to name.")


class FirstRunJson(BaseModel):
    """How far an installation is."""

    steps: list[StepJson]
    active: bool = Field(description="An administrator is led through it.")
    empty: bool = Field(description="No part was ever inspected.")
    done: bool = Field(description="All but optional steps are.")
    left: bool
    newest: str | None = Field(description="The newest inspection that has a verdict.")
    station: str = Field(description="Where to send pictures from; empty: none is known.")
    product: str = Field(description="The one whose costs are known; empty: none.")


class FirstRunChange(BaseModel):
    """What happened."""

    begun: bool | None = Field(default=None, description="The guide was opened; counts while the system is empty.")
    left: bool | None = Field(default=None, description="true: put away; false: taken up again.")
    seen: str | None = Field(default=None, max_length=64, description="The inspection whose verdict was looked at.")


@router.get("/first-run")
def first_run_state(session: SessionDep, context: ContextDep) -> FirstRunJson:
    """Each step with its state, read from what there is."""
    found = first_run.standing(context, session)
    shown = FirstRunJson.model_fields.keys() - {"steps"}
    steps = [StepJson.model_validate(step, from_attributes=True) for step in found.steps]
    return FirstRunJson(steps=steps, **{name: getattr(found, name) for name in shown})


@router.patch("/first-run")
def change_first_run(wish: FirstRunChange, session: SessionDep, context: ContextDep) -> FirstRunJson:
    """Begin it, leave it, take it up again, or say whose verdict was looked at."""
    first_run.remember(context, session, begun=wish.begun, left=wish.left, seen=wish.seen)
    return first_run_state(session, context)
