"""Backups that are asked for on a page: a durable job, and the list of those that there are.

They lie in `QC_BACKUPS`, else in QC_HOME/backups, one folder each, named by when they were begun (UTC).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlmodel import Session

from qc.errors import NotFound
from server import audit
from server.backup import MANIFEST, backup
from server.blobs.opening import keys_elsewhere
from server.context import Context
from server.jobs import queue
from server.jobs.records import Job
from server.jobs.runner import JobRun
from server.settings import Settings

KIND = "backup"


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup that there is."""

    name: str
    made_at: datetime
    files: int
    megabytes: float
    inspections: int
    entries: int
    """Of the audit trail."""


def folder(settings: Settings) -> Path:
    """Where backups lie, absolute."""
    return (settings.backups or settings.home / "backups").resolve()


def ask(session: Session, *, by: str, now: datetime) -> Job:
    """Ask for a backup; joins one under way. The caller commits."""
    name = f"{now:%Y-%m-%dT%H-%M-%S}"
    return queue.enqueue(session, KIND, {"name": name, "by": by}, now=now, key=KIND, max_attempts=2)


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Make the backup; an attempt that was cut off left nothing that looks like one."""
    settings, name, by = context.settings, str(run.arguments["name"]), str(run.arguments["by"])

    def say(text: str) -> None:
        run.check()
        run.report(message=text)

    out = folder(settings) / name
    if not (out / MANIFEST).is_file():
        elsewhere = partial(keys_elsewhere, settings)
        backup(settings.home.resolve(), settings.db_url, out, now=run.clock(), say=say, elsewhere=elsewhere)
    made = _read(out)
    result = {"name": name, "files": made.files, "megabytes": made.megabytes, "inspections": made.inspections}
    with context.database.write() as session:
        audit.record(session, KIND, name, {"files": made.files, "inspections": made.inspections}, by=by, at=run.clock())
        run.finish(session, result)
        session.commit()
    return result


def kept(settings: Settings) -> list[Kept]:
    """Every whole backup in the folder, the newest first."""
    return sorted(_each(folder(settings)), key=lambda one: one.name, reverse=True)


def remove(session: Session, settings: Settings, name: str, *, by: str, now: datetime) -> None:
    """Remove a backup for good; raises NotFound. The caller commits."""
    if name not in {one.name for one in kept(settings)}:
        raise NotFound(f"there is no backup {name}")
    audit.record(session, "backup.removed", name, {}, by=by, at=now)
    shutil.rmtree(folder(settings) / name)


def _each(where: Path) -> Iterator[Kept]:
    if where.is_dir():
        for place in where.iterdir():
            if not place.name.startswith(".") and (place / MANIFEST).is_file():
                yield _read(place)


def _read(place: Path) -> Kept:
    told = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    return Kept(
        name=place.name,
        made_at=datetime.fromisoformat(told["made_at"]),
        files=len(told["files"]),
        megabytes=round(size / 1e6, 1),
        inspections=told["inspections"],
        entries=told["audit"]["entries"],
    )
