"""The installation's settings: what holds, why, and what a page may change."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from server import settings_form
from server.auth import IdentityDep
from server.context import ContextDep
from server.db import SessionDep

router = APIRouter(tags=["settings"])

Plain = bool | int | float | str | None


class SettingJson(BaseModel):
    """A setting as a form needs it."""

    name: str
    variable: str = Field(description="The environment variable that sets it.")
    group: str = Field(description="`deployment` where no page may change it.")
    description: str
    kind: Literal["yes_no", "whole", "number", "choice", "cron", "text"]
    choices: list[str]
    least: float | None
    most: float | None
    above: float | None = Field(description="It must be larger than this.")
    default: Plain
    value: Plain = Field(description="What holds now; null for a secret.")
    next: Plain = Field(description="What holds after the next start.")
    source: Literal["default", "page", "environment"]


class SettingPage(BaseModel):
    """Every setting, those that a page may change first."""

    items: list[SettingJson]
    restart: bool = Field(description="Something that was changed holds only after the next start.")


class SettingsChange(BaseModel):
    """Other values, by name; null brings the default back."""

    values: dict[str, Plain] = Field(min_length=1)


@router.get("/settings")
def list_settings(context: ContextDep) -> SettingPage:
    """Every setting, once described, with what holds now and after the next start."""
    found = [SettingJson.model_validate(one, from_attributes=True) for one in settings_form.show(context.settings)]
    return SettingPage(items=found, restart=any(one.value != one.next for one in found))


@router.patch("/settings")
def change_settings(wish: SettingsChange, session: SessionDep, who: IdentityDep, context: ContextDep) -> SettingPage:
    """Keep other values in QC_HOME/settings.json; they hold from the next start on."""
    values: dict[str, Any] = wish.values
    kept = settings_form.change(session, context.settings, values, by=who.name, now=context.now())
    settings_form.write(context.settings.home, kept)
    session.commit()
    return list_settings(context)
