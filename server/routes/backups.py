"""Backups: which there are, making one, removing one. Putting one back is a command: the server must not run."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from server import backup_job
from server.auth import IdentityDep
from server.context import ContextDep
from server.db import SessionDep
from server.jobs import queue
from server.routes.jobs import JobJson

router = APIRouter(tags=["backups"])


class BackupJson(BaseModel):
    """A whole backup."""

    name: str
    made_at: datetime
    files: int
    megabytes: float = Field(description="10^6 bytes.")
    inspections: int
    entries: int = Field(description="Of the audit trail.")


class BackupPage(BaseModel):
    """Every backup in the folder, the newest first."""

    folder: str
    same_disk: bool = Field(description="The folder lies on the disk of QC_HOME: one failure takes both.")
    pictures_elsewhere: str | None = Field(
        description="Where the cameras' pictures lie if not under QC_HOME: looked for there, and in no backup."
    )
    items: list[BackupJson]


@router.get("/backups")
def list_backups(context: ContextDep) -> BackupPage:
    """Which backups there are, and where."""
    where, home = backup_job.folder(context.settings), context.settings.home.resolve()
    there = next(place for place in (where, *where.parents) if place.exists())
    items = [BackupJson.model_validate(one, from_attributes=True) for one in backup_job.kept(context.settings)]
    return BackupPage(
        folder=str(where),
        same_disk=there.stat().st_dev == home.stat().st_dev,
        pictures_elsewhere=context.settings.blobs or None,
        items=items,
    )


@router.post("/backups", status_code=202)
def make_backup(session: SessionDep, who: IdentityDep, context: ContextDep) -> JobJson:
    """Make one beside the running server; joins one under way."""
    asked = backup_job.ask(session, context.settings, by=who.name, now=context.now())
    answer = JobJson(**queue.as_json(asked))
    session.commit()
    return answer


@router.delete("/backups/{name}", status_code=204)
def remove_backup(name: str, session: SessionDep, who: IdentityDep, context: ContextDep) -> None:
    """Remove one for good."""
    backup_job.remove(session, context.settings, name, by=who.name, now=context.now())
    session.commit()
