"""Versions of the data set that retrainings froze, and what changed from one to another."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlmodel import col, select

from segmentation.records import ModelVersion
from server import data_versions
from server.context import ContextDep
from server.jobs.records import Job

router = APIRouter(tags=["label tasks"])

MOST_NAMES = 200
"""Of each list of images in an answer; the count beside it is of all."""


class DataSetJson(BaseModel):
    """A frozen data set."""

    job: str = Field(description="The retraining that froze it.")
    id: str
    frozen_at: datetime
    images: int
    labelled: int
    parts: dict[str, int] = Field(description="Parts on each side: train, val, test.")
    drawings: int
    people: int
    erased: int = Field(description="Images that were removed on somebody's wish since.")
    kept: bool = Field(description="Its pictures are still there.")
    model: str | None = Field(description="That was trained on it; null: none was.")
    alias: str | None = Field(description="champion or challenger, where it is one now.")


class DataSetList(BaseModel):
    """Frozen data sets, the newest first."""

    items: list[DataSetJson]


class Names(BaseModel):
    """Images by their names; `count` is of all, `names` holds the first ones."""

    count: int
    names: list[str]


class MaskChangeJson(BaseModel):
    """How the labels of one image differ: class name to number of defects before and after."""

    image: str
    before: dict[str, int]
    after: dict[str, int]
    changed_px: int


class DifferenceJson(BaseModel):
    """What changed from one data set to another."""

    before: str
    after: str
    same: bool
    looked: bool = Field(description="False: pictures of one are gone, so that hashes alone tell which masks changed.")
    added: Names
    removed: Names
    pictures: Names = Field(description="Whose pixels are others.")
    labelled: Names = Field(description="That had no labels before.")
    unlabelled: Names
    relabelled: int
    masks: list[MaskChangeJson] = Field(description="Of those labelled differently, the most changed first.")
    moved: dict[str, list[str]] = Field(description="Part to its side before and after.")
    classes_added: list[str]
    classes_removed: list[str]
    book: list[str] = Field(description="Classes that the label book says something else of.")


@router.get("/data-sets")
def data_sets(context: ContextDep) -> DataSetList:
    """What every retraining learnt from."""
    found = data_versions.versions(context.settings.home)
    with context.database.read() as session:
        jobs = session.exec(select(Job).where(col(Job.id).in_([one.job for one in found])))
        trained = {job.id: str((job.result or {}).get("model", "")) or None for job in jobs}
        models = session.exec(select(ModelVersion).where(col(ModelVersion.id).in_([m for m in trained.values() if m])))
        alias = {model.id: model.alias for model in models}
    return DataSetList(
        items=[
            DataSetJson(
                **{name: getattr(one, name) for name in DataSetJson.model_fields if name not in ("model", "alias")},
                model=(model := trained.get(one.job)),
                alias=alias.get(model or ""),
            )
            for one in found
        ]
    )


@router.get("/data-sets/{job}/difference")
def difference(job: str, since: str, context: ContextDep) -> DifferenceJson:
    """What changed from the data set of retraining `since` to that of `job`."""
    home = context.settings.home
    told, looked = data_versions.difference(data_versions.folder(home, since), data_versions.folder(home, job))
    masks = sorted(told.masks, key=lambda one: -one.changed_px)
    return DifferenceJson(
        before=since,
        after=job,
        same=told.is_empty,
        looked=looked,
        added=_names(told.added),
        removed=_names(told.removed),
        pictures=_names(told.pictures),
        labelled=_names(told.labelled),
        unlabelled=_names(told.unlabelled),
        relabelled=len(masks),
        masks=[
            MaskChangeJson(
                image=one.image,
                before=dict(one.defects_before),
                after=dict(one.defects_after),
                changed_px=one.changed_px,
            )
            for one in masks[:MOST_NAMES]
        ],
        moved={part: list(sides) for part, sides in told.moved.items()},
        classes_added=list(told.classes_added),
        classes_removed=list(told.classes_removed),
        book=list(told.book),
    )


def _names(found: tuple[str, ...]) -> Names:
    return Names(count=len(found), names=list(found[:MOST_NAMES]))
