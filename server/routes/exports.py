"""Lists as tables for spreadsheets: all rows that a choice on a page fits, not only those in view."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from sqlmodel import col, select

from labeling.records import TaskState
from labeling.studio_view import shown_words
from qc.records import Inspection
from qc.verdict import Verdict
from server import inspections, process_capability, process_money, registry
from server import process_service as service
from server.context import Context, ContextDep
from server.db import SessionDep
from server.process_capability import Capability
from server.routes import calls, label_quality, label_tasks
from server.routes.process_known import levers
from server.routes.processes import Decision, models_in_memory
from server.tables import CSV, as_table
from server.word_records import OperatorCall

router = APIRouter(tags=["tables"])

MODELS = 10_000
"""More than a plant trains in its life."""

AT_ONCE = 200
"""Rows read in one transaction: a table of months holds up nobody who writes."""


@router.get("/inspections.csv", response_class=StreamingResponse, responses=CSV)
def inspections_as_table(
    context: ContextDep,
    station: str | None = None,
    verdict: Verdict | None = None,
    part: str | None = None,
    since: datetime | None = None,
) -> StreamingResponse:
    """Every inspection that the choice fits, the newest first."""
    head = [
        "id",
        "part",
        "station",
        "product",
        "received_at",
        "verdict",
        "model_verdict",
        "score",
        "defects",
        "classes",
    ]
    head += ["camera_faults", "said", "said_by", "said_at", "reason", "mode", "model", "elapsed_ms", "problem"]
    chosen: dict[str, Any] = {"station": station, "verdict": verdict, "part": part, "since": since}
    if since is not None:
        with context.database.read() as session:  # refuses a moment without time zone before anything is sent
            inspections.page(context, session, since=since, limit=1)
    return as_table("inspections", head, _inspections(context, chosen))


@router.get("/label-tasks.csv", response_class=StreamingResponse, responses=CSV)
def label_tasks_as_table(
    context: ContextDep, state: Annotated[list[TaskState] | None, Query(description="None: of all.")] = None
) -> StreamingResponse:
    """Every label task of one or several states, state by state, the next to do first."""
    head = ["id", "part", "station", "view", "reason", "urgency", "state", "opened_at", "closed_at", "cost_s", "golden"]
    head += ["shown"]
    states: list[TaskState | None] = [*state] if state else [None]
    rows = chain.from_iterable(_label_tasks(context, head, one) for one in states)
    return as_table("label-tasks", head, rows)


@router.get("/calls.csv", response_class=StreamingResponse, responses=CSV)
def calls_as_table(context: ContextDep) -> StreamingResponse:
    """Every call to the team leader, the newest first."""
    head = ["id", "part", "station", "product", "inspection_id", "said", "question", "by", "at", "due_at", "state"]
    head += ["closed_at", "verdict", "answered_by", "reason"]
    return as_table("calls", head, _calls(context, head))


@router.get("/labels/quality.csv", response_class=StreamingResponse, responses=CSV)
def label_quality_as_table(context: ContextDep) -> StreamingResponse:
    """How far labels can be trusted: a row for each figure of a class, for each person with golden tasks, and for what
    each person labelled in the last 30 days."""
    found = label_quality.figures(context)
    head = ["of", "figure", "value", "low", "high", "parts_or_tasks", "change_per_30_days", "change_is_certain"]
    rows: list[list[Any]] = [
        [name, figure, told.value, told.low, told.high, told.parts, None, None]
        for name, by_figure in found.classes.items()
        for figure, told in by_figure.items()
    ]
    rows += [
        [one.person, "golden", one.score, None, None, one.tasks, one.change_per_30_days, one.change_is_certain]
        for one in found.labellers
    ]
    for each in found.work:
        rows.append([each.person, "seconds_each", each.seconds_each, None, None, each.drawings, None, None])
        rows.append([each.person, "specks", each.specks, None, None, each.with_specks, None, None])
    return as_table("label-quality", head, rows)


@router.get("/models.csv", response_class=StreamingResponse, responses=CSV)
def models_as_table(session: SessionDep) -> StreamingResponse:
    """Every model: the champion, then the newest, with its plain figures and why it serves or does not."""
    rows = [registry.as_json(row) for row in registry.newest(session, limit=MODELS)]
    figures = sorted({name for row in rows for name, value in row["figures"].items() if _plain(value)})
    head = ["id", "alias", "state", "created_at", "served_since", *figures, "promoted", "reason"]

    def line(row: dict[str, Any]) -> list[Any]:
        told, decided = row["figures"], row["decision"] or {}
        shown = [told[name] if _plain(told.get(name)) else None for name in figures]
        return [*(row[name] for name in head[:5]), *shown, decided.get("promote"), decided.get("reason")]

    return as_table("models", head, [line(row) for row in rows])


@router.get("/processes/{name}/recommendations.csv", response_class=StreamingResponse, responses=CSV)
def recommendations_as_table(
    name: str, request: Request, session: SessionDep, context: ContextDep, decision: Decision | None = None
) -> StreamingResponse:
    """Everything that was advised, the newest first, with what came of the part."""
    process = models_in_memory(request, context).of(service.current(session, name)).process
    head = ["id", "part", "batch", "at", "asked_at", "decision", "settings", "run", "p_conform", "p_low", "p_high"]
    head += ["expected_value", "value_if_continued", "value_if_scrapped", "cause", "came_of_it", "model"]

    def rows() -> Iterator[list[Any]]:
        cursor: str | None = None
        while True:
            with context.database.read() as reading:
                found, cursor = service.history(reading, name, decision=decision, cursor=cursor, limit=AT_ONCE)
                told = [_advice(row, outcome.content if outcome else None, process) for row, outcome in found]
            yield from told
            if cursor is None:
                return

    return as_table(f"recommendations-{name}", head, rows())


@router.get("/processes/{name}/capability.csv", response_class=StreamingResponse, responses=CSV)
def capability_as_table(name: str, request: Request, session: SessionDep, context: ContextDep) -> StreamingResponse:
    """Before the advice, with it, and beside it: yields, cost of poor quality, and every reading's indices."""
    version = service.current(session, name)
    process = models_in_memory(request, context).of(version).process
    found = process_capability.before_and_after(session, name, process, version.report)
    head = [
        "parts_of",
        "reading",
        "decides",
        "cp",
        "cpk",
        "pp",
        "ppk",
        "within",
        "parts",
        "rolled_yield",
        "first_yield",
    ]
    head += ["poor_quality", "currency"]
    rows: list[list[Any]] = []
    for label, of in (("history", found.before), ("advice followed", found.after), ("others since", found.others)):
        rows += _capability(label, of, found.currency, process.conformance) if of is not None else []
    return as_table(f"capability-{name}", head, rows)


@router.get("/processes/{name}/levers.csv", response_class=StreamingResponse, responses=CSV)
def levers_as_table(name: str, context: ContextDep) -> StreamingResponse:
    """What each setting does, known or not."""
    found = [one.model_dump() for one in levers(name, context).items]
    head = [key for key, value in (found[0] if found else {}).items() if not isinstance(value, list | dict)]
    return as_table(f"levers-{name}", head, [[one[key] for key in head] for one in found])


def _inspections(context: Context, chosen: dict[str, Any]) -> Iterator[list[Any]]:
    cursor: str | None = None
    while True:
        with context.database.read() as session:
            page = inspections.page(context, session, **chosen, cursor=cursor, limit=AT_ONCE)
        for one in page.items:
            word, faults = one.decision, [f"{i.view or i.n}: {i.camera_fault}" for i in one.images if i.camera_fault]
            defects = [d for i in one.images for d in i.defects if d.counts]
            names = " ".join(sorted({d.class_name for d in defects}))
            said = [word.verdict, word.by, word.at, word.reason] if word else ["", "", "", ""]
            yield [
                *(one.id, one.part, one.station, one.product, one.received_at, one.verdict, one.model_verdict),
                *(one.score, len(defects), names, " ".join(faults), *said, one.mode, one.model, one.elapsed_ms),
                one.problem,
            ]
        cursor = page.next_cursor
        if cursor is None:
            return


def _label_tasks(context: Context, head: list[str], state: TaskState | None) -> Iterator[list[Any]]:
    cursor: str | None = None
    while True:
        with context.database.read() as session:
            page = label_tasks.page(session, context, state=state, cursor=cursor, limit=AT_ONCE)
        for one in page.items:
            shown = shown_words(one.shown.model_dump() if one.shown else None)
            yield [shown if name == "shown" else getattr(one, name) for name in head]
        cursor = page.next_cursor
        if cursor is None:
            return


def _calls(context: Context, head: list[str]) -> Iterator[list[Any]]:
    last: str | None = None
    both = select(OperatorCall, Inspection).join(Inspection, col(Inspection.id) == col(OperatorCall.inspection_id))
    while True:
        wanted = both.order_by(col(OperatorCall.id).desc()).limit(AT_ONCE)
        if last is not None:
            wanted = wanted.where(col(OperatorCall.id) < last)
        with context.database.read() as session:
            found = [calls.show(context, call, inspection) for call, inspection in session.exec(wanted)]
        for one in found:
            yield [getattr(one, name) for name in head]
        if len(found) < AT_ONCE:
            return
        last = found[-1].id


def _plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def _advice(row: Any, outcome: dict[str, Any] | None, process: Any) -> list[Any]:
    told = row.answer
    low, high = told["p_conform_interval"] or [None, None]
    settings = " ".join(f"{name}={value:g}" for name, value in told["settings"].items())
    cause = told["causes"][0]["step"] if told["causes"] else ""
    fate = process_money.fate(process, outcome) if outcome and process_money.ended_in(process, outcome) else ""
    return [
        *(row.id, row.part, row.request.get("batch"), row.at, row.asked_at, told["decision"], settings),
        *(" ".join(told["run"]), told["p_conform"], low, high, told["expected_value"], told["value_if_continued"]),
        *(told["value_if_scrapped"], cause, fate, told["model"]),
    ]


def _capability(label: str, of: Capability, currency: str, deciding: tuple[str, ...]) -> list[list[Any]]:
    whole = [of.rolled_yield, of.first_yield, of.poor_quality, currency]
    rows: list[list[Any]] = [[label, "", "", "", "", "", "", "", of.parts, *whole]]
    for name, one in of.readings.items():
        figures = [one.cp, one.cpk, one.pp, one.ppk, one.within, one.parts]
        rows.append([label, name, name in deciding, *figures, "", "", "", ""])
    return rows
