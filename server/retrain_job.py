"""The retraining job: has a challenger trained in a child process, and lets it serve if it is better.

Everything that changes the registry happens in one commit with the end of the job: promotion or rejection with its
reason, the audit entry, and `done`. A crash before it leaves the artefacts on disk, and the next attempt goes on there.
"""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from labeling.records import LabelTask, TaskState
from qc.errors import Conflict, Unavailable
from segmentation.records import ModelVersion
from server import (
    audit,
    gate,
    gate_bounds,
    gate_cost,
    gate_jobs,
    golden,
    golden_look,
    registry,
    retraining,
    rivals,
)
from server.context import Context
from server.gate_records import Measured
from server.jobs import queue
from server.jobs.child import run_in_child
from server.jobs.records import Job, JobState
from server.jobs.runner import JobRun
from server.watch_records import Alarm

KIND = "retrain"
DRIFT = ("rate", "score", "appearance")
"""Kinds of alarms that say that parts or verdicts are not what they were (`server.drift`)."""
SHARE_ON_DRIFT = 0.25
"""Of the labels that otherwise ask for a retraining: without a new one it would give the same model again."""
TRAINING = "training"
"""Kind of the trail's entry."""


def ask(session: Session, *, now: datetime, why: str) -> Job:
    """Ask for a retraining; one that is unfinished is joined."""
    return queue.enqueue(session, KIND, {"why": why}, now=now, key=KIND, max_attempts=8)


def ask_if_enough(session: Session, *, after_labels: int, on_drift: bool = False, now: datetime) -> Job | None:
    """Ask for a retraining if so many label tasks were finished since the last one was asked for.

    Args:
        on_drift: a quarter of them are enough while an alarm says that a station has drifted since then.
    """
    last = session.exec(
        select(Job)
        .where(Job.kind == KIND, Job.state != JobState.CANCELLED.value)
        .order_by(col(Job.created_at).desc())
        .limit(1)
    ).first()
    finished = select(func.count()).where(col(LabelTask.state) == TaskState.DONE)
    if last is not None:
        finished = finished.where(col(LabelTask.closed_at) > last.created_at)
    number = int(session.exec(finished).one())
    if number >= after_labels:
        return ask(session, now=now, why=f"{number} new labels")
    drifted = _drifted(session, since=last.created_at if last is not None else None) if on_drift else None
    if drifted is not None and number >= math.ceil(after_labels * SHARE_ON_DRIFT):
        return ask(session, now=now, why=f"{number} new labels, and drift: {drifted.message}"[:500])
    return None


def _drifted(session: Session, *, since: datetime | None) -> Alarm | None:
    """The newest open alarm of drift that no retraining was asked for after."""
    wanted = select(Alarm).where(col(Alarm.kind).in_(DRIFT), col(Alarm.closed_at).is_(None))
    if since is not None:
        wanted = wanted.where(col(Alarm.raised_at) > since)
    return session.exec(wanted.order_by(col(Alarm.id).desc()).limit(1)).first()


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Train, compare, promote or reject."""
    home, settings = context.settings.home.resolve(), context.settings
    with context.database.read() as session:
        champion = registry.champion(session)
        labelled = select(func.count(func.distinct(LabelTask.part))).where(col(LabelTask.state) == TaskState.DONE)
        labelled_parts = int(session.exec(labelled).one())
    if champion is None:
        raise Conflict("there is no champion to start from and to compare with; promote a model first")
    arguments = {
        "home": str(home),
        "database_url": settings.db_url,
        "blobs": settings.blobs,
        "work": str(home / "retraining" / run.id),
        "champion": str(home / champion.folder),
        "champion_id": champion.id,
        "classes": champion.classes,
        "minutes": settings.retrain_minutes,
        "device": settings.device,
        "threads": settings.threads,
        "seed": 0,
        "labelled_parts": labelled_parts,
    }
    log = settings.folder("logs") / "retrain.log"
    made = run_in_child(run, "server.retraining:retrain", arguments, log=log)
    told = _decide(context, run, champion, made)
    retraining.tidy(home)
    return told


def _bounds(context: Context, run: JobRun, champion: ModelVersion, folder: Path, model_id: str) -> list[str]:
    """What keeps a better challenger from serving, in words: it looks at the golden parts and is measured now."""
    from segmentation.model import load_segmenter

    with context.database.read() as session:
        pictures = gate_cost.some_pictures(context, session)
        some_golden = bool(golden.in_force(session))
    if some_golden:
        run.report(0.99, "looking at the golden parts")
        challenger = load_segmenter(folder, device=context.settings.device, threads=1)
        golden_look.look_at_all(context, run, challenger, why="challenger")
    figures = {}
    if pictures:
        run.report(0.995, "measuring time and memory")
        home = context.settings.home.resolve()
        figures = gate_jobs.measure_both(context, run, home / champion.folder, folder, pictures)
    with context.database.write() as session:
        if figures:
            row = Measured(challenger=model_id, champion=champion.id, at=context.now(), figures=figures)
            session.merge(row)
            session.commit()
        found = [gate_bounds.golden_bound(context, session, model_id)]
        if figures:
            rules = gate_bounds.rules_in_force(context)
            found += gate_bounds.cost_bounds(session, champion.id, model_id, rules)
    return [f"{bound.name}: {bound.words}" for bound in found if bound.blocks]


def _decide(context: Context, run: JobRun, champion: ModelVersion, made: dict[str, Any]) -> dict[str, Any]:
    """Enter the challenger and the decision, and end the job, in one commit."""
    from segmentation.model import read_card

    home, now = context.settings.home.resolve(), run.clock()
    model_id, decision = str(made["model_id"]), dict(made["comparison"])
    key = registry.keep(home, Path(made["model"]), model_id)
    better = bool(decision["promote"]) and model_id != champion.id
    missed = _bounds(context, run, champion, home / key, model_id) if better else []
    if missed:
        decision |= {"promote": False, "reason": f"{decision['reason']}; but {'; '.join(missed)}"}
    with context.database.write() as session:
        serving = registry.champion(session)
        if serving is None or serving.id != champion.id:
            raise Unavailable("another model was promoted during the retraining; the challenger is compared again")
        if model_id == champion.id:
            decision |= {"promote": False, "reason": "the retraining gave the very model that serves"}
        else:
            registry.add(
                session,
                model_id=model_id,
                folder=key,
                card=read_card(home / key),
                now=now,
                decision=decision,
                parent=champion.id,
            )
            if not decision["promote"]:
                registry.reject(session, context.events, model_id)
            elif (
                context.settings.auto_promote
                and context.settings.gate == "held-back"
                and not gate_bounds.rules_in_force(context).approval_required
            ):
                why = str(decision["reason"])
                registry.promote(session, context.events, model_id, by="server", at=now, reason=why)
                gate.look_back(context, session, champion.id)
            else:
                registry.challenge(session, context.events, model_id)
            if decision["promote"]:
                rivals.offer(session, context.events, model_id, by="server", at=now)
        now_serving = registry.champion(session)
        promoted = now_serving is not None and now_serving.id == model_id != champion.id
        told = {"model": model_id, "promoted": promoted, "reason": decision["reason"], "data": made.get("data", "")}
        body = told | {"job": run.id, "parent": champion.id, "better": bool(decision["promote"])}
        audit.record(session, TRAINING, model_id, body, by="server", at=now)
        run.finish(session, told)
        session.commit()
    return told
