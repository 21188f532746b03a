"""The registry of models, mirrored to an MLflow server for those who look there (`QC_MLFLOW`).

    a model is entered, promoted, turned down, assigned ──▶ job mirror_models, in the same transaction ──▶ MLflow

One way: the line depends on nothing that MLflow says, and works on while it is away; what was missed is made up for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from segmentation.records import ModelVersion
from server.context import Context
from server.events import Event
from server.gate_records import Assignment
from server.jobs import queue
from server.jobs.child import run_in_child
from server.jobs.records import Job, JobState
from server.jobs.runner import JobRun
from server.where import Where

KIND = "mirror_models"

ATTEMPTS = 60
"""With pauses of up to ten minutes: an MLflow server may be away for half a day, and the next change asks anew."""


class Mirror:
    """A `server.context.Part`: asks for the job whenever the registry changes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        context.events.keep(self._changed)
        with context.database.write() as session:
            ask(session, context)
            session.commit()

    def _changed(self, session: Session, event: Event) -> None:
        if event.kind == "model":
            ask(session, self._context)

    def state(self) -> dict[str, Any]:
        """For /health: degraded while MLflow lacks something."""
        with self._context.database.read() as session:
            last = session.exec(select(Job).where(Job.kind == KIND).order_by(col(Job.created_at).desc())).first()
        if last is None or last.state == JobState.DONE:
            return {"state": "ok", "message": f"mirrored to {self._context.settings.mlflow}"}
        if last.problem:
            return {"state": "degraded", "message": f"MLflow lacks the newest models: {last.problem}"}
        return {"state": "ok", "message": "models are being mirrored"}

    def stop(self) -> None:
        """Nothing runs here; the jobs' threads do the work."""


def start(context: Context) -> Mirror | None:
    """Where the settings name an MLflow server; a line in `server.parts.PARTS`."""
    return Mirror(context) if context.settings.mlflow else None


def ask(session: Session, context: Context) -> None:
    """For the job, in the caller's transaction."""
    queue.enqueue(session, KIND, now=context.now(), key=KIND, again=True, max_attempts=ATTEMPTS)


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Bring MLflow up to date; see `mirror_mlflow.mirror`."""
    settings = context.settings
    if not settings.mlflow:
        return {"waits": "no MLflow server is named"}
    with context.database.read() as session:
        arguments = {
            "address": settings.mlflow,
            "name": settings.mlflow_name,
            "models": models(session, settings.home.resolve()),
        }
    return run_in_child(
        run, "server.mirror_mlflow:mirror", arguments, log=settings.folder("logs") / "mirror-models.log"
    )


def models(session: Session, home: Path) -> list[dict[str, Any]]:
    """The whole registry, oldest first, as `mirror_mlflow.mirror` takes it."""
    serves: dict[str, list[str]] = {}
    for own in session.exec(select(Assignment)):
        serves.setdefault(own.champion, []).append(Where(own.product, own.station).words)
    return [
        {
            "id": row.id,
            "folder": str(home / row.folder),
            "created_ms": int(row.created_at.timestamp() * 1000),
            "alias": row.alias,
            "state": str(row.state),
            "figures": row.figures,
            "decision": row.decision,
            "parent": row.dataset.get("parent"),
            "serves": sorted(serves.get(row.id, [])),
        }
        for row in session.exec(select(ModelVersion).order_by(col(ModelVersion.created_at)))
    ]
