"""Label Studio's protocol for models, answered by the model that serves (see `server.ml_backend`)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header
from pydantic import BaseModel
from sqlmodel import col, select

from segmentation.records import ModelVersion
from server import label_jobs, ml_backend, retrain_asking
from server.context import Context, ContextDep
from server.db import SessionDep


def _known(context: ContextDep, authorization: Annotated[str, Header()] = "") -> None:
    ml_backend.check_secret(context, authorization)


router = APIRouter(prefix="/ml", tags=["label tasks"], dependencies=[Depends(_known)])

Json = Annotated[dict[str, Any], Body()]


class Up(BaseModel):
    """The model can be asked."""

    status: str = "UP"
    model_class: str
    model_version: str


class Version(BaseModel):
    """Which model answers now."""

    model_version: str


class Versions(BaseModel):
    """The models that there are, the one that answers first."""

    versions: list[str]
    model_version: str


class Results(BaseModel):
    """One answer for each task, in Label Studio's own words."""

    results: list[dict[str, Any]]


class Asked(BaseModel):
    """What was asked for will be done by these jobs."""

    jobs: list[str]
    job: str | None = None


def _serving(context: Context) -> str:
    return context.need_champion().serving().model_id


@router.get("/health")
def health(context: ContextDep) -> Up:
    """Can the model be asked?"""
    return Up(model_class="inspection model", model_version=_serving(context))


@router.post("/setup")
def setup(context: ContextDep, body: Json) -> Version:
    """Label Studio introduces a project. Its token is not kept: we have our own."""
    return Version(model_version=_serving(context))


@router.get("/versions")
def versions(context: ContextDep, session: SessionDep) -> Versions:
    """All models of the registry."""
    now = _serving(context)
    known = session.exec(select(ModelVersion.id).order_by(col(ModelVersion.created_at).desc())).all()
    return Versions(versions=[now, *[each for each in known if each != now]], model_version=now)


@router.post("/predict")
def predict(context: ContextDep, body: Json) -> Results:
    """Proposals for tasks, or the mask of a click or a box on one."""
    return Results(results=ml_backend.predict(context, body))


@router.post("/webhook", status_code=201)
def webhook(context: ContextDep, session: SessionDep, body: Json) -> Asked:
    """Something happened in a project, or somebody pressed "start training"; answered at once, done by a job."""
    if body.get("action") == "START_TRAINING":
        return _train(context, session)
    jobs = label_jobs.ask_to_collect(session, body, now=context.now())
    session.commit()
    return Asked(jobs=jobs)


@router.post("/train", status_code=201)
def train(context: ContextDep, session: SessionDep, body: Json) -> Asked:
    """Train a challenger on all labels there are; joins a training under way."""
    return _train(context, session)


def _train(context: Context, session: SessionDep) -> Asked:
    asked = retrain_asking.ask(session, now=context.now(), why="asked for in Label Studio").id
    session.commit()
    return Asked(jobs=[asked], job=asked)
