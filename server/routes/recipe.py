"""Better nominal settings for a whole process: a search by a job, and trials that people open and close."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from process_opt.model import ProcessModel
from qc.errors import InvalidInput
from server import process_service as service
from server import recipe
from server.auth import IdentityDep
from server.context import Context, ContextDep
from server.db import SessionDep
from server.jobs import queue
from server.jobs.records import JobState
from server.routes.jobs import JobJson
from server.routes.processes import models_in_memory
from server.tables import CSV, as_table

router = APIRouter(tags=["processes"])


class RecipeWish(BaseModel):
    """What a trial is, and what it is for."""

    parts: int = Field(default=30, ge=1, le=100_000, description="Of one trial run.")
    later: int = Field(default=10_000, ge=0, le=10**9, description="To be made afterwards: a gain counts so often.")
    count: int = Field(default=1, ge=1, le=8, description="Proposals to be tried side by side.")


class MovedSetting(BaseModel):
    """A setting that a proposal moves. Intervals hold 90 %."""

    setting: str
    unit: str
    now: float
    proposed: float
    worth: float = Field(description="Money a part that is lost by leaving this one as it is.")
    worth_interval: list[float]


class ProposalJson(BaseModel):
    """A trial that is worth its cost, or none. Money a part, against today's recipe, in the process's currency."""

    decision: Literal["try", "no gain expected"]
    settings: dict[str, float]
    gain: float
    gain_interval: list[float] = Field(description="90 %.")
    gain_chance: float = Field(description="That it is better than today's recipe at all.")
    each: list[MovedSetting]
    cost: float = Field(description="Of the whole trial: set-ups, changes, and what its parts are expected to lose.")
    parts: int
    left: list[str] = Field(description="Settings that stay: nobody knows what they do, or there is no room.")
    reason: str
    best: dict[str, Any] = Field(description="The best recipe known: settings, money, gain and its interval.")


class TrialJson(BaseModel):
    """A trial that somebody opened."""

    trial: int
    state: Literal["open", "done"]
    settings: dict[str, float]
    money: float | None = Field(description="A part, as it came.")
    told: int = Field(description="Outcomes with its settings, told since it was opened.")


class RecipeJson(BaseModel):
    """The newest search and all trials."""

    currency: str
    job: JobJson | None = Field(description="null: nobody has asked yet.")
    proposals: list[ProposalJson] = Field(description="Of the newest search, once it is done.")
    of_this_model: bool = Field(description="They were made from the model that is served now.")
    trials: list[TrialJson]
    problem: str | None = Field(description="Why nothing can be proposed for this process; null: it can.")
    movable: int = Field(description="Settings that may be moved.")


class TrialWish(BaseModel):
    """What a trial moves; all else stays as it is today."""

    settings: dict[str, float] = Field(min_length=1)


class TrialEnd(BaseModel):
    """How a trial is closed."""

    how: Literal["told", "called off"]


@router.get("/processes/{name}/recipe")
def one_recipe(name: str, request: Request, session: SessionDep, context: ContextDep) -> RecipeJson:
    """The newest proposals with what they rest on, how far a search is, and the trials."""
    return _shown(name, request, session, context)


@router.post("/processes/{name}/recipe", status_code=202)
def look_for_better(
    name: str, wish: RecipeWish, request: Request, who: IdentityDep, session: SessionDep, context: ContextDep
) -> JobJson:
    """Look for better nominal settings; joins a search that is under way. 422 where no setting may be moved."""
    recipe.network(_model(name, request, session, context))
    asked = recipe.ask(session, name, **wish.model_dump(), by=who.name, now=context.now())
    answer = JobJson(**queue.as_json(asked))
    session.commit()
    return answer


@router.post("/processes/{name}/recipe/trials", status_code=201)
def open_trial(
    name: str, wish: TrialWish, request: Request, who: IdentityDep, session: SessionDep, context: ContextDep
) -> RecipeJson:
    """Open a trial: its parts are recognised by these settings when their outcomes are told."""
    model, home = _model(name, request, session, context), context.settings.home.resolve()
    recipe.start(session, home, name, model, wish.settings, by=who.name, now=context.now())
    session.commit()
    return _shown(name, request, session, context)


@router.post("/processes/{name}/recipe/trials/{number}/end")
def end_trial(
    name: str,
    number: int,
    wish: TrialEnd,
    request: Request,
    who: IdentityDep,
    session: SessionDep,
    context: ContextDep,
) -> RecipeJson:
    """Take in what was told of a trial's parts, or call it off; the next search knows."""
    model, home = _model(name, request, session, context), context.settings.home.resolve()
    off = wish.how == "called off"
    recipe.end(session, home, name, model, number, call_off=off, by=who.name, now=context.now())
    session.commit()
    return _shown(name, request, session, context)


@router.get("/processes/{name}/recipe.csv", response_class=StreamingResponse, responses=CSV)
def recipe_as_table(name: str, request: Request, session: SessionDep, context: ContextDep) -> StreamingResponse:
    """Every setting that the newest proposals move."""
    found = _shown(name, request, session, context)
    head = ["proposal", "setting", "unit", "now", "proposed", "worth", "worth_low", "worth_high", "gain", "gain_low"]
    head += ["gain_high", "gain_chance", "trial_cost", "trial_parts", "currency"]
    rows: list[list[Any]] = []
    for n, p in enumerate(found.proposals, 1):
        whole = [p.gain, *p.gain_interval, p.gain_chance, p.cost, p.parts, found.currency]
        rows += [[n, m.setting, m.unit, m.now, m.proposed, m.worth, *m.worth_interval, *whole] for m in p.each]
    return as_table(f"recipe-{name}", head, rows)


def _model(name: str, request: Request, session: SessionDep, context: Context) -> ProcessModel:
    return models_in_memory(request, context).of(service.current(session, name))


def _shown(name: str, request: Request, session: SessionDep, context: Context) -> RecipeJson:
    model = _model(name, request, session, context)
    asked = recipe.newest(session, name)
    result = (asked.result or {}) if asked is not None and asked.state == JobState.DONE else {}
    problem, trials, movable = None, list[dict[str, Any]](), 0
    try:
        movable = len(recipe.network(model).network.inputs)
        trials = recipe.trials(session, context.settings.home.resolve(), name, model)
    except InvalidInput as error:
        problem = error.message
    return RecipeJson(
        currency=model.process.currency,
        job=None if asked is None else JobJson(**queue.as_json(asked)),
        proposals=[ProposalJson(**one) for one in result.get("proposals", [])],
        of_this_model=result.get("model") == model.id,
        trials=[TrialJson(**one) for one in trials],
        problem=problem,
        movable=movable,
    )
