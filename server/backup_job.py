"""Backups that are asked for on a page: a durable job, and the list of those that there are.

They lie in `QC_BACKUPS`, else in QC_HOME/backups, one folder each, named by when they were begun (UTC). With
`QC_BACKUP_KEYS` each is encrypted (`server.encrypted_backup`). Once a new one is whole, those that were begun before
the last erasure are removed, as they hold what was erased.
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

from qc.errors import InvalidInput, NotFound
from qc.records import new_id
from server import audit
from server.backup import DATABASE, MANIFEST, backup
from server.blobs.opening import keys_elsewhere
from server.context import Context
from server.encrypted_backup import ABOUT, Say, encrypt, is_encrypted, last_erasure
from server.home_id import home_id
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


def ask(session: Session, settings: Settings, *, by: str, now: datetime) -> Job:
    """Ask for a backup of this server's data folder; joins one under way. The caller commits."""
    name = f"{now:%Y-%m-%dT%H-%M-%S}"
    here = home_id(settings.folder("."))
    return queue.enqueue(session, KIND, {"name": name, "by": by}, now=now, key=KIND, max_attempts=2, home=here)


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Make the backup; an attempt that was cut off left nothing that looks like one."""
    settings, name, by = context.settings, str(run.arguments["name"]), str(run.arguments["by"])

    def say(text: str) -> None:
        run.check()
        run.report(message=text)

    out = folder(settings) / name
    if not _whole(out):
        _make(settings, out, now=run.clock(), say=say)
    made, gone = _read(out), _remove_plain(settings, out)
    result = {"name": name, "files": made.files, "megabytes": made.megabytes, "inspections": made.inspections}
    with context.database.write() as session:
        audit.record(session, KIND, name, {"files": made.files, "inspections": made.inspections}, by=by, at=run.clock())
        for older in gone:
            why = {"reason": "it held what was erased since"}
            audit.record(session, "backup.removed", older, why, by="server", at=run.clock())
        run.finish(session, result)
        session.commit()
    return result


def _make(settings: Settings, out: Path, *, now: datetime, say: Say) -> None:
    home, keys = settings.home.resolve(), settings.backup_keys
    if keys is not None and keys.resolve().is_relative_to(home):
        raise InvalidInput(f"QC_BACKUP_KEYS is {keys}, within QC_HOME: it would be copied; keep keys on another disk")
    elsewhere = partial(keys_elsewhere, settings)
    if keys is None:
        backup(home, settings.db_url, out, now=now, say=say, elsewhere=elsewhere)
        return
    plain = home / f".backup.{new_id()}"  # not where it would have to be erased again
    try:
        backup(home, settings.db_url, plain, now=now, say=say, elsewhere=elsewhere)
        told = _told(plain)
        out.parent.mkdir(parents=True, exist_ok=True)
        gone = encrypt(plain, out, keys, made_at=now, told=told, say=say)
    finally:
        shutil.rmtree(plain, ignore_errors=True)
    for place in folder(settings).iterdir():
        if is_encrypted(place) and json.loads((place / ABOUT).read_text(encoding="utf-8"))["id"] in gone:
            shutil.rmtree(place)


def _remove_plain(settings: Settings, new: Path) -> list[str]:
    """Remove plain backups that were begun before the last erasure, of which the plain one in `new` knows; their names.

    Encrypted ones lost their keys when `new` was encrypted."""
    if not (new / MANIFEST).is_file() or (erased := last_erasure(new / DATABASE)) is None:
        return []
    gone = []
    for place in sorted(folder(settings).iterdir()):
        plain = place != new and not place.name.startswith(".") and (place / MANIFEST).is_file()
        if plain and datetime.fromisoformat(_told(place)["made_at"]) <= erased:
            shutil.rmtree(place)
            gone.append(place.name)
    return gone


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
            if not place.name.startswith(".") and _whole(place):
                yield _read(place)


def _whole(place: Path) -> bool:
    return (place / MANIFEST).is_file() or is_encrypted(place)


def _told(plain: Path) -> dict[str, Any]:
    """How much there is in a plain backup."""
    told = json.loads((plain / MANIFEST).read_text(encoding="utf-8"))
    counts = {"files": len(told["files"]), "inspections": told["inspections"], "entries": told["audit"]["entries"]}
    return {"made_at": told["made_at"], **counts}


def _read(place: Path) -> Kept:
    plain = (place / MANIFEST).is_file()
    told = _told(place) if plain else json.loads((place / ABOUT).read_text(encoding="utf-8"))
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    return Kept(
        name=place.name,
        made_at=datetime.fromisoformat(told["made_at"]),
        files=told.get("files", 0),  # of one that `qc backup --keys` made only its key's holder knows
        megabytes=round(size / 1e6, 1),
        inspections=told.get("inspections", 0),
        entries=told.get("entries", 0),
    )
