"""Learning from what came of parts: a durable job that turns new outcomes into a new version of the process model.

An outcome is learnt once: the commit that makes the new version current also marks the outcomes it learnt from. A model
that a person registers starts from its own history; outcomes told before that are taken as part of it.
"""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from sqlmodel import Session, col, select, update

from process_opt.records import Outcome, ProcessVersion
from qc.records import new_id
from server import process_camera
from server import process_service as service
from server.db import Database
from server.jobs import queue
from server.jobs.runner import JobRun

if TYPE_CHECKING:
    from process_opt.model import ProcessModel

log = structlog.get_logger(__name__)

KIND = "learn"
PATIENCE = timedelta(seconds=20)
"""Outcomes that come within this time are learnt together."""
MOST = 2000
"""Outcomes of one job; more wait for the next."""
KEEP_LEARNT = 5
"""Folders of learnt versions that are kept; those that a person registered stay for good."""


def ask(session: Session, name: str, *, now: datetime) -> None:
    """Ask for a process's new outcomes to be learnt from."""
    queue.enqueue(session, KIND, {"process": name}, now=now, key=f"{KIND}:{name}", again=True, delay=PATIENCE)


def job(home: Path, database: Database, run: JobRun) -> dict[str, Any]:
    """Learn from the outcomes of one process that nobody learnt from yet."""
    from process_opt.learn import update as learn_from
    from process_opt.model import load_model

    name = str(run.arguments["process"])
    with database.read() as session:
        version = service.current(session, name)
        since = _begun(version)
        new = (
            select(Outcome)
            .where(Outcome.process == name, col(Outcome.learnt_in).is_(None), col(Outcome.received_at) >= since)
            .order_by(col(Outcome.received_at), col(Outcome.id))
            .limit(MOST)
        )
        outcomes = list(session.exec(new))
    if not outcomes:
        return {"learnt": 0}
    model = load_model(home / version.folder_key)
    with database.read() as session:  # inspections that were not finished when the outcome was told
        contents = process_camera.complete(session, model.process, [outcome.content for outcome in outcomes])
    better = learn_from(model, contents)
    run.check()
    key = _save(home, name, better)
    now = run.clock()
    told = {"learnt": len(outcomes), "model": better.id}
    with database.write() as session:
        if service.current(session, name).id != version.id:  # a person registered another one meanwhile
            return {"learnt": 0, "reason": "another model was registered meanwhile"}
        report = service.plain(better.report())
        report |= {"outcomes_learnt": _learnt(version) + len(outcomes), "registered_at": since.isoformat()}
        made = service.register(session, name, better.id, key, now=now, report=report)
        for outcome, content in zip(outcomes, contents, strict=True):
            if content is not outcome.content:
                of_it = update(Outcome).where(col(Outcome.id) == outcome.id)
                session.connection().execute(of_it.values(content=content))
        session.connection().execute(
            update(Outcome).where(col(Outcome.id).in_([o.id for o in outcomes])).values(learnt_in=made.id)
        )
        if len(outcomes) == MOST:
            queue.enqueue(session, KIND, {"process": name}, now=now, key=f"{KIND}:{name}", again=True)
        run.finish(session, told)
        session.commit()
    _forget_old(home, database, name)
    return told


def _begun(version: ProcessVersion) -> datetime:
    """When the fit from which this version learnt was registered."""
    begun = version.report.get("registered_at")
    return datetime.fromisoformat(begun) if begun else version.created_at


def _learnt(version: ProcessVersion) -> int:
    return int(version.report.get("outcomes_learnt", 0))


def _save(home: Path, name: str, model: ProcessModel) -> str:
    key = f"{service.FOLDER}/{name}/{model.id.removeprefix('sha256:')}"
    target = home / key
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        working = target.with_name(f".{target.name}.{new_id()}")
        try:
            model.save(working)
            working.rename(target)
        finally:
            shutil.rmtree(working, ignore_errors=True)
    return key


def _forget_old(home: Path, database: Database, name: str) -> None:
    """Remove the folders of learnt versions that are long superseded; their rows stay."""
    with database.read() as session:
        newest_first = select(ProcessVersion).where(ProcessVersion.name == name).order_by(col(ProcessVersion.id).desc())
        versions = list(session.exec(newest_first))
    kept = {v.folder_key for v in versions[:KEEP_LEARNT]} | {v.folder_key for v in versions if not _learnt(v)}
    for version in versions:
        if version.folder_key not in kept:
            shutil.rmtree(home / version.folder_key, ignore_errors=True)
