"""Processes: what to do with a part in the making, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Body, Query, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from sqlmodel import Session

from process_opt.model import ProcessModel
from process_opt.records import ProcessVersion
from server import permission, process_intake, process_money, process_table, process_worth
from server import process_service as service
from server.auth import IdentityDep
from server.context import Context, ContextDep
from server.db import SessionDep
from server.process_intake import Asked, CameOf
from server.routes.permission import PermissionJson, show

router = APIRouter(tags=["processes"])

Decision = Literal["continue", "correct", "scrap", "measure", "abstain"]


class Cause(BaseModel):
    """A step that made the part what it is, and its share of the deviation."""

    step: str
    share: float


class WorthOfReading(BaseModel):
    """A reading that can still be taken, or taken again, before deciding. Money in the process's currency."""

    reading: str
    """`step.measurement`."""
    again: bool
    """Was it taken before?"""
    cost: float
    value: float
    """What deciding after it adds, its cost not taken off."""


class Advice(BaseModel):
    """What to do with the part. Money in the process's currency, from `at` on."""

    model_config = ConfigDict(extra="allow")

    id: str
    part: str
    at: str
    decision: Decision
    settings: dict[str, float]
    """Only what leaves its nominal value."""
    run: list[str]
    """Optional steps to run."""
    measure: list[str]
    """Readings to take (again) before deciding."""
    p_conform: float | None
    p_conform_interval: list[float] | None
    """90 %."""
    expected_value: float | None
    minutes: float | None = None
    """How long the steps still to come take; None where the process does not say."""
    value_if_continued: float | None
    value_if_scrapped: float | None
    causes: list[Cause]
    alternatives: list[dict[str, Any]]
    readings: list[WorthOfReading] = Field(default_factory=list)
    """Every one still possible, the one that adds most beyond its cost first."""
    decided: dict[str, float] = Field(default_factory=dict)
    """Settings of steps still to come that stood when it was asked, as those that the part's batch shares."""
    shared: list[str] = Field(default_factory=list)
    """Settings that the plan moves, that are one for the whole batch, and that nobody decided yet."""
    reason: str
    model: str
    elapsed_ms: float


class Wondered(Asked):
    """A part in the making, and settings to try on it."""

    settings: dict[str, Any] = Field(default_factory=dict, examples=[{"s20-heat.temperature": 842.0}])
    """What leaves its nominal value, of steps still to come."""
    run: list[str] = Field(default_factory=list)
    """Optional steps to run."""


class Reading(BaseModel):
    """What a reading will be: `low` to `high` holds 90 %; `lower` and `upper` are its limits."""

    mean: float
    low: float
    high: float
    lower: float | None
    upper: float | None
    unit: str


class Along(BaseModel):
    """A step still to come."""

    step: str
    readings: dict[str, Reading]


class Compared(BaseModel):
    """A plan beside the chosen one."""

    plan: Literal["chosen", "continue", "recommended", "scrap"]
    decision: Decision | None = None
    """Of the recommended one."""
    settings: dict[str, float] = Field(default_factory=dict)
    run: list[str] = Field(default_factory=list)
    p_conform: float | None = None
    p_conform_interval: list[float] | None = None
    expected_value: float
    minutes: float | None = None
    """How long the steps still to come take; None where the process does not say."""


class Expected(BaseModel):
    """Where a part would go under the chosen settings. Money in the process's currency, from `at` on."""

    part: str
    at: str
    settings: dict[str, float]
    run: list[str]
    p_conform: float
    p_conform_interval: list[float]
    """90 %."""
    expected_value: float
    minutes: float | None = None
    path: list[Along]
    compared: list[Compared]
    notes: list[str]
    model: str
    elapsed_ms: float


class Accepted(BaseModel):
    """How many outcomes were new, and how many had been told before."""

    accepted: int
    duplicates: int
    reworked_without_permission: list[str] = Field(default_factory=list)
    """Parts of which rework was told that nobody had approved; it is in the audit trail."""


class ProcessLine(BaseModel):
    """A process in the list."""

    name: str
    model: str
    currency: str
    created_at: datetime
    steps: list[str]


class ProcessList(BaseModel):
    """The processes that are served."""

    items: list[ProcessLine]


class ProcessWhole(BaseModel):
    """A process, and the report of the fit."""

    name: str
    model: str
    process: dict[str, Any]
    report: dict[str, Any]


class Told(BaseModel):
    """A recommendation that was given, and what came of the part."""

    id: str
    part: str
    at: str
    asked_at: datetime
    request: dict[str, Any]
    answer: dict[str, Any]
    outcome: dict[str, Any] | None
    permission: PermissionJson
    """May its rework be carried out?"""


class ToldPage(BaseModel):
    """Recommendations, newest first."""

    items: list[Told]
    next_cursor: str | None


def models_in_memory(request: Request, context: Context) -> service.Models:
    """The models in memory; made at the first request that needs one."""
    return process_intake.models_of(context)


@router.get("/processes")
def processes(request: Request, session: SessionDep, context: ContextDep) -> ProcessList:
    """Every process that is served."""
    lines = []
    for version in service.all_current(session):
        process = models_in_memory(request, context).of(version).process
        steps = [step.name for step in process.steps]
        lines.append(
            ProcessLine(
                name=version.name,
                model=version.model,
                currency=process.currency,
                created_at=version.created_at,
                steps=steps,
            )
        )
    return ProcessList(items=lines)


@router.get("/processes/{name}")
def process(name: str, request: Request, session: SessionDep, context: ContextDep) -> ProcessWhole:
    """One process: its steps, settings, limits and money, and how well it is known."""
    version = service.current(session, name)
    source = dict(models_in_memory(request, context).of(version).process.source)
    return ProcessWhole(name=name, model=version.model, process=source, report=version.report)


@router.post("/processes/{name}/recommendations")
def recommendations(name: str, asked: Asked | list[Asked], context: ContextDep) -> Advice | list[Advice]:
    """What to do with a part; a list of requests gets the list of their answers. One mistake refuses the whole list."""
    answers = process_intake.advise(context, name, asked if isinstance(asked, list) else [asked])
    advice = [Advice(**told) for told in answers]
    return advice if isinstance(asked, list) else advice[0]


@router.post("/processes/{name}/what-if")
def what_if(name: str, wondered: Wondered, request: Request, context: ContextDep) -> Expected:
    """Where a part would go under chosen settings, beside continuing as is and the recommended plan. Nothing is
    kept."""
    with context.database.read() as session:
        version = service.current(session, name)
    asked = wondered.model_dump(exclude_unset=True)
    settings, run = asked.pop("settings", {}), asked.pop("run", [])
    model = models_in_memory(request, context).of(version)
    return Expected(**service.wonder(model, process_intake.as_known(context, name, model, [asked])[0], settings, run))


@router.get("/processes/{name}/recommendations")
def told(
    name: str,
    session: SessionDep,
    decision: Decision | None = None,
    cursor: str | None = None,
    limit: int = Query(50, ge=1, le=500),
) -> ToldPage:
    """What was advised, newest first."""
    service.current(session, name)
    rows, following = service.history(session, name, decision=decision, cursor=cursor, limit=limit)
    words = permission.said(session, name, {row.part for row, _ in rows})
    items = [
        Told(
            id=row.id,
            part=row.part,
            at=row.at,
            asked_at=row.asked_at,
            request=row.request,
            answer=row.answer,
            outcome=outcome.content if outcome else None,
            permission=show(row, words.get(row.part, [])),
        )
        for row, outcome in rows
    ]
    return ToldPage(items=items, next_cursor=following)


@router.post("/processes/{name}/outcomes", status_code=202)
def outcomes(name: str, sent: CameOf | list[CameOf], who: IdentityDep, context: ContextDep) -> Accepted:
    """What was done and what came of it. A part's outcome counts once; the model learns from it soon after."""
    return _accepted(
        process_intake.take_outcomes(context, name, sent if isinstance(sent, list) else [sent], by=who.name)
    )


@router.post("/processes/{name}/outcomes.csv", status_code=202)
def outcomes_table(
    name: str,
    table: Annotated[str, Body(media_type="text/csv", description="As `qc process fit` reads a history.")],
    who: IdentityDep,
    context: ContextDep,
) -> Accepted:
    """Outcomes as a table (CSV). One row that makes no sense refuses all of them; told again, a part counts once."""
    return _accepted(process_table.take_table(context, name, table, by=who.name))


def _accepted(taken: process_intake.Taken) -> Accepted:
    return Accepted(
        accepted=taken.accepted,
        duplicates=taken.duplicates,
        reworked_without_permission=taken.reworked_without_permission,
    )


@router.get("/processes/{name}/summary")
def summary(name: str, context: ContextDep) -> process_money.Summary:
    """What the recommendations brought, counted from the outcomes that were told."""

    def count(session: Session, version: ProcessVersion, model: ProcessModel) -> process_money.Summary:
        tried = process_worth.trial_worth(session, name, model.process, now=context.now())
        found = process_money.summary(session, name, model.process)
        return found.model_copy(update={"worth": tried.words if tried else None})

    return counted(context, name, "summary", count, TypeAdapter(process_money.Summary))


Counted = TypeVar("Counted")


def counted(
    context: Context,
    name: str,
    what: str,
    count: Callable[[Session, ProcessVersion, ProcessModel], Counted],
    form: TypeAdapter[Counted],
) -> Counted:
    """What `count` says of the rows of a process, its version and its model: counted again when the model, a
    recommendation or an outcome is new, and each hour, as parts may have waited too long; see `server.kept_counts`.

    Args:
        form: see `KeptCounts.told`; the answer names no part and no batch.
    """
    models = process_intake.models_of(context)
    with context.database.read() as session:
        version = service.current(session, name)
        numbers = service.counts(session, name)
    return context.counts.told(
        (what, name),
        (version.model, *numbers, f"{context.now():%Y-%m-%d %H}"),
        sum(numbers),
        context.database,
        lambda session: count(session, version, models.of(version)),
        form=form,
    )


def said_by_model(
    context: Context, name: str, what: str, say: Callable[[ProcessVersion, ProcessModel], Counted]
) -> Counted:
    """What `say` says of a process's model whatever its rows are: of the one that serves, never of the one before."""
    models = process_intake.models_of(context)
    with context.database.read() as session:
        version = service.current(session, name)
    return context.counts.told(
        (what, name), version.model, 0, context.database, lambda _: say(version, models.of(version))
    )
