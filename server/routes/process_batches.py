"""Batches of parts in the making: the list, one decision for all and taking it, permission for all, and as a table."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from qc.errors import Conflict
from server import batch_decisions, process_money
from server import process_batches as batches
from server import process_service as service
from server.auth import IdentityDep
from server.context import Context, ContextDep
from server.db import SessionDep
from server.process_money import Summary
from server.routes.permission import Word
from server.routes.processes import Decision, models_in_memory
from server.tables import CSV, as_table

router = APIRouter(tags=["processes"])

BatchName = Annotated[str, Query(min_length=1, max_length=128)]


class BatchLineJson(BaseModel):
    """A batch in the list."""

    batch: str
    parts: int
    waiting: int = Field(description="Parts of which no outcome was told.")
    asked_at: datetime


class BatchList(BaseModel):
    """Batches, the newest first."""

    items: list[BatchLineJson]


class BatchPlanJson(BaseModel):
    """A plan for all parts that wait, from the step on before which they wait. Intervals hold 90 %."""

    plan: Literal["each", "shared", "correct", "continue", "scrap"] = Field(
        description="each: every part as it was advised. shared: one value for what is shared, else each its own."
    )
    settings: dict[str, float] = Field(description="The same for every part.")
    shared: dict[str, float] = Field(default_factory=dict, description="Value of every setting that the batch shares.")
    run: list[str]
    scrapped: int = Field(description="Parts that the plan scraps.")
    good: float = Field(description="Parts expected within specification.")
    good_interval: list[int]
    all_good: float | None = Field(description="Chance that every part it does not scrap ends within specification.")
    money: float
    money_interval: list[float]


class BatchPartJson(BaseModel):
    """A part that waits: as it was advised by itself, and under the decision for all."""

    id: str = Field(description="Of its newest recommendation.")
    part: str
    decision: Decision
    p_own: float | None = Field(description="null: scrapped.")
    p_shared: float | None
    p_shared_interval: list[float] | None
    decision_shared: Literal["correct", "continue", "scrap"] = Field(description="What the decision is for this part.")
    settings_shared: dict[str, float]
    run_shared: list[str]
    value_own: float
    value_shared: float
    gain: float = Field(description="Of treating it as advised by itself.")
    apart: bool = Field(description="That gain is worth it, or somebody must look before anything is decided.")
    cause: str | None


class BatchDecisionJson(BaseModel):
    """One decision for the parts that wait before a step."""

    at: str
    decision: Literal["shared", "correct", "continue", "scrap"]
    plans: list[BatchPlanJson] = Field(description="The one worth most first.")
    parts: list[BatchPartJson]
    worth_apart: float = Field(description="Gained in all by treating apart those that are `apart`.")
    currency: str
    model: str
    seen: str = Field(description="To be sent with POST …/batch/decision: what is carried out is what was seen.")


class BatchWord(BaseModel):
    """A person takes the decision for a batch."""

    at: str = Field(description="The step before which the parts wait.")
    seen: str = Field(description="Of the decision that the person saw.")
    apart: bool = Field(True, description="Leave the parts that are `apart` to what each was advised by itself.")
    reason: str = Field(min_length=1, max_length=2000, examples=["One furnace charge, the same heat for all"])


class BatchTaken(BaseModel):
    """A decision that was taken, and what came of its parts."""

    id: str
    at: str
    plan: BatchPlanJson = Field(description="As the person saw it.")
    parts: list[str] = Field(description="That it is about; without those that were decided on anew later.")
    reason: str
    by: str
    decided_at: datetime
    model: str
    brought: Summary


class BatchJson(BaseModel):
    """A batch: the decision for those that wait, and what came of the others."""

    batch: str
    parts: int
    waiting: dict[str, int] = Field(description="Parts without an outcome, by the step before which they wait.")
    ended: dict[str, int] = Field(description="Parts with an outcome: in, out, scrapped, unknown.")
    permission: int = Field(description="Parts whose rework waits for a person's word.")
    decision: BatchDecisionJson | None = Field(description="null: no part waits.")
    taken: list[BatchTaken] = Field(description="Decisions that people took for the batch, newest first.")
    brought: Summary = Field(description="What following the advice brought on this batch's parts.")


class BatchApproved(BaseModel):
    """How many parts a word was about."""

    parts: list[str]


@router.get("/processes/{name}/batches")
def batch_list(name: str, context: ContextDep) -> BatchList:
    """The newest batches of which something was asked."""
    with context.database.read() as session:
        service.current(session, name)
    return BatchList(items=[BatchLineJson.model_validate(b, from_attributes=True) for b in newest(context, name)])


def newest(context: Context, name: str) -> list[batches.BatchLine]:
    """Those batches, counted anew when a recommendation or an outcome is new; see `server.kept_counts`. They lie in no
    file, as an erasure must reach them."""
    with context.database.read() as session:
        numbers = service.counts(session, name)
    return context.counts.told(
        ("batches", name), numbers, sum(numbers), context.database, lambda other: batches.listed(other, name)
    )


@router.get("/processes/{name}/batch")
def one_batch(
    name: str, batch: BatchName, request: Request, session: SessionDep, context: ContextDep, at: str | None = None
) -> BatchJson:
    """One decision for all parts of a batch that wait before a step, its money and its chance, and which differ."""
    model = models_in_memory(request, context).of(service.current(session, name))
    found = batches.known(session, name, batch, model)
    decided = batches.decision(session, name, found, model, at)
    waiting: dict[str, int] = {}
    for row in found.waiting:
        waiting[row.at] = waiting.get(row.at, 0) + 1
    return BatchJson(
        batch=batch,
        parts=len(found.newest),
        waiting=waiting,
        ended=batches.fates(found, model),
        permission=len(batches.unapproved(session, name, found.waiting)),
        decision=None if decided is None else BatchDecisionJson(**decided, seen=batch_decisions.fingerprint(decided)),
        taken=[
            BatchTaken(**decision.model_dump(exclude={"parts"}), parts=parts, brought=brought)
            for decision, parts, brought in batch_decisions.taken(session, name, batch, model)
        ],
        brought=process_money.summary(session, name, model.process, parts={row.part for row in found.newest}),
    )


@router.post("/processes/{name}/batch/decision", status_code=201)
def decide(
    name: str,
    batch: BatchName,
    word: BatchWord,
    request: Request,
    who: IdentityDep,
    context: ContextDep,
) -> BatchApproved:
    """Take the decision for the parts of a batch that wait before a step: each is advised so from now on, and the line
    is told as of any other advice; 409 where the batch is not as it was seen any more."""
    with context.database.read() as session:  # computed without holding up writers; compared again below
        model = models_in_memory(request, context).of(service.current(session, name))
        told = batches.decision(session, name, batches.known(session, name, batch, model), model, word.at)
    with context.database.write() as session:
        found = batches.known(session, name, batch, model)
        same = told and {row.id for row in found.waiting if row.at == word.at} == {p["id"] for p in told["parts"]}
        if not told or not same or service.current(session, name).model != told["model"]:
            raise Conflict(f"batch {batch} changed this very moment; look at it again")
        _, parts = batch_decisions.carry_out(
            context,
            session,
            name,
            found,
            told,
            process=model.process,
            seen=word.seen,
            apart=word.apart,
            reason=word.reason,
            by=who.name,
            now=context.now(),
        )
        session.commit()
    return BatchApproved(parts=parts)


@router.post("/processes/{name}/batch/approval")
def decide_rework(
    name: str,
    batch: BatchName,
    word: Word,
    request: Request,
    who: IdentityDep,
    session: SessionDep,
    context: ContextDep,
) -> BatchApproved:
    """Approve or decline the rework of every part of a batch that waits for a word; 409 where none does."""
    model = models_in_memory(request, context).of(service.current(session, name))
    found = batches.known(session, name, batch, model)
    words = batches.approve(session, name, found, word.answer, word.risk, by=who.name, now=context.now())
    for one in words:
        told = {"id": one.recommendation_id, "process": name, "part": one.part}
        context.events.on_commit(session, "recommendation", told)
    parts = [one.part for one in words]
    session.commit()
    return BatchApproved(parts=parts)


@router.get("/processes/{name}/batch.csv", response_class=StreamingResponse, responses=CSV)
def batch_as_table(
    name: str, batch: BatchName, request: Request, session: SessionDep, context: ContextDep, at: str | None = None
) -> StreamingResponse:
    """The parts of a batch, those that wait with both plans, the others with what came of them."""
    model = models_in_memory(request, context).of(service.current(session, name))
    found = batches.known(session, name, batch, model)
    decided = batches.decision(session, name, found, model, at) or {"parts": [], "decision": ""}
    told = {part["part"]: part for part in decided["parts"]}
    head = ["part", "waits_before", "came_of_it", "advised", "p_own", "value_own", "batch_decision", "p_shared"]
    head += ["value_shared", "gain_apart", "apart", "cause"]
    rows: list[list[Any]] = []
    for row in found.newest:
        part, outcome = told.get(row.part), found.came_of.get(row.part)
        fate = process_money.fate(model.process, outcome.content) if outcome else ""
        start = [row.part, "" if outcome else row.at, fate, row.answer["decision"]]
        if part is None:
            rows.append([*start, row.answer["p_conform"], row.answer["expected_value"], "", "", "", "", "", ""])
            continue
        own = [part["p_own"], part["value_own"], decided["decision"], part["p_shared"], part["value_shared"]]
        rows.append([*start, *own, part["gain"], part["apart"], part["cause"]])
    return as_table(f"batch-{batch}", head, rows)
