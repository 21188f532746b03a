"""The retraining job: has a challenger trained in a child process, and lets it serve if it is better: everywhere, or at
the product or station that it was retrained for (`server.retrain_asking`).

Everything that changes the registry happens in one commit with the end of the job: promotion or rejection with its
reason, the audit entry, and `done`. A crash before it leaves the artefacts on disk, and the next attempt goes on there.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from labeling.records import LabelTask, TaskState
from qc.errors import Conflict, Unavailable
from segmentation.records import ModelState, ModelVersion
from server import (
    audit,
    gate_bounds,
    gate_cost,
    gate_jobs,
    golden,
    golden_look,
    registry,
    retrain_asking,
    retraining,
    rivals,
)
from server.context import Context
from server.gate_records import Measured
from server.jobs.child import run_in_child
from server.jobs.queue import LeaseLost
from server.jobs.records import Job, JobState
from server.jobs.runner import JobRun
from server.retrain_asking import ProductAtStation
from server.rivals import Rivals
from server.where import EVERYWHERE, Where

TRAINING = "training"
"""Kind of the trail's entry."""


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Train, compare, promote or reject. What a retraining left that was called off meanwhile is cleared away."""
    try:
        return _retrain(context, run)
    except LeaseLost:
        with context.database.read() as session:
            called_off = session.get_one(Job, run.id).state == JobState.CANCELLED
        if called_off:
            _clear(context, run.id)
        raise


def _clear(context: Context, job_id: str) -> None:
    """Its folder, and the copy of a model that did not come to the registry."""
    from segmentation.model import CARD, read_card

    home = context.settings.home.resolve()
    made = home / "retraining" / job_id / "model"
    if (made / CARD).is_file():
        model = str(read_card(made)["id"])
        with context.database.read() as session:
            known = session.get(ModelVersion, model) is not None
        if not known:
            shutil.rmtree(home / registry.folder_of(model), ignore_errors=True)
    retraining.clear(home, job_id)


def _retrain(context: Context, run: JobRun) -> dict[str, Any]:
    home, settings = context.settings.home.resolve(), context.settings
    where = retrain_asking.where_from(run.arguments)
    with context.database.read() as session:
        champion = rivals.champion(session, where)
        places = None if where == EVERYWHERE else retrain_asking.labelled_at(session, where)
        labelled_parts = _labelled_parts(session, places)
        last_check = _last_check(session, home, run, where)
    if champion is None:
        raise Conflict("there is no champion to start from and to compare with; promote a model first")
    if places == []:
        raise Conflict(f"no label task of {where.words} is finished; label some in Label Studio first")
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
        "places": places,
        "name": None if where == EVERYWHERE else where.words,
        "last_check": last_check,
    }
    log = settings.folder("logs") / "retrain.log"
    made = run_in_child(run, "server.retraining:retrain", arguments, log=log)
    told = _decide(context, run, champion, made, where)
    retraining.tidy(home)
    return told


def _labelled_parts(session: Session, places: Sequence[ProductAtStation] | None) -> int:
    labelled = select(func.count(func.distinct(LabelTask.part))).where(col(LabelTask.state) == TaskState.DONE)
    if places is not None:
        labelled = labelled.where(retrain_asking.labels_of(places))
    return int(session.exec(labelled).one())


def _last_check(session: Session, home: Path, run: JobRun, where: Where) -> str | None:
    """What was found in the data of the retraining before this one for the same place; its ids sort by time."""
    same = select(Job.id).where(Job.kind == retrain_asking.KIND, Job.key == retrain_asking.key_of(where))
    for earlier in session.exec(same.where(col(Job.id) < run.id).order_by(col(Job.id).desc())):
        if (file := retraining.check_file(home / "retraining" / earlier)).is_file():
            return str(file)
    return None


def _bounds(
    context: Context, run: JobRun, champion: ModelVersion, folder: Path, model_id: str, product: str
) -> list[str]:
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
        found = [gate_bounds.golden_bound(context, session, model_id, product)]
        if figures:
            rules = gate_bounds.rules_in_force(context, product)
            found += gate_bounds.cost_bounds(session, champion.id, model_id, rules)
    return [f"{bound.name}: {bound.words}" for bound in found if bound.blocks]


def _decide(
    context: Context, run: JobRun, champion: ModelVersion, made: dict[str, Any], where: Where = EVERYWHERE
) -> dict[str, Any]:
    """Enter the challenger and the decision, and end the job, in one commit."""
    from segmentation.model import read_card

    home, now = context.settings.home.resolve(), run.clock()
    place = {} if where == EVERYWHERE else where._asdict()
    model_id, decision = str(made["model_id"]), dict(made["comparison"]) | place
    key = registry.keep(home, Path(made["model"]), model_id)
    better = bool(decision["promote"]) and model_id != champion.id
    missed = _bounds(context, run, champion, home / key, model_id, where.product) if better else []
    if missed:
        decision |= {"promote": False, "reason": f"{decision['reason']}; but {'; '.join(missed)}"}
    if place:
        decision["reason"] = f"for {where.words}: {decision['reason']}"
    with context.database.write() as session:
        registry.alone(session)
        serving = rivals.champion(session, where)
        if serving is None or serving.id != champion.id:
            raise Unavailable("another model was promoted during the retraining; the challenger is compared again")
        if model_id == champion.id:
            decision |= {"promote": False, "reason": "the retraining gave the very model that serves"}
        else:
            row = registry.add(
                session,
                model_id=model_id,
                folder=key,
                card=read_card(home / key),
                now=now,
                decision=decision,
                parent=champion.id,
            )
            decision = _place(context, session, Rivals(where, serving, row, returns=False), decision, at=now)
        now_serving = rivals.champion(session, where)
        promoted = now_serving is not None and now_serving.id == model_id != champion.id
        told = {"model": model_id, "promoted": promoted, "reason": decision["reason"], "data": made.get("data", "")}
        told |= place
        body = told | {"job": run.id, "parent": champion.id, "better": bool(decision["promote"])}
        audit.record(session, TRAINING, model_id, body, by="server", at=now)
        run.finish(session, told)
        session.commit()
    return told


def _place(
    context: Context, session: Session, pair: Rivals, decision: dict[str, Any], *, at: datetime
) -> dict[str, Any]:
    """The retrained model serves, looks on, or is turned down, as its comparison with the champion and the settings
    say; returns the decision as it then stands."""
    events, model_id, why = context.events, pair.challenger.id, str(decision["reason"])
    if not decision["promote"]:
        if pair.challenger.state == ModelState.CANDIDATE and pair.challenger.alias is None:  # else it serves elsewhere
            registry.reject(session, events, model_id, by="server", at=at, reason=why)
        return decision
    if (
        context.settings.auto_promote
        and context.settings.gate == "held-back"
        and not gate_bounds.rules_in_force(context, pair.where.product).approval_required
    ):
        rivals.promote(session, events, pair, by="server", at=at, reason=why)
    elif rivals.room(session, model_id, pair.where):
        rivals.name(session, events, model_id, where=pair.where, by="server", at=at)
    else:
        decision = pair.challenger.decision = decision | {"reason": f"{why}; but {rivals.NO_ROOM}"}
        session.add(pair.challenger)
    if pair.where == EVERYWHERE:
        rivals.offer(session, events, model_id, by="server", at=at)
    return decision
