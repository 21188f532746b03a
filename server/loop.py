"""The loop: doubt becomes a label task, labels become a data set, a data set becomes a challenger, a better one serves.

    inspection in the review band, or overruled ──hook──▶ label task (same commit) ──job push──▶ Label Studio
    finished annotation ──webhook, and a sweep for what it lost──▶ job collect ──enough, nightly, by hand──▶ job retrain
    task opened, labels collected ──▶ job rank: everything that waits is weighed anew (`labeling.order`)
    job retrain: freeze ▶ train ▶ compare on held-back parts ▶ promote or reject (one commit) ▶ the champion is swapped

Every arrow is a durable job; the hooks only write rows, in the transaction of what they belong to.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from sqlmodel import Session

from labeling.priority import drawn_by_chance, uncertainty
from labeling.records import Reason
from qc.records import Decision, Exposure, Inspection
from qc.verdict import Verdict
from server import (
    backup_job,
    checkpoint,
    drift_labels,
    erasure,
    erasure_scope,
    features_job,
    features_search,
    features_service,
    gate,
    gate_jobs,
    golden_look,
    golden_needs,
    label_jobs,
    mirror_job,
    modes,
    money_sums,
    process_learning,
    ready_job,
    recipe,
    registry,
    retention,
    retrain_asking,
    retrain_job,
    room,
)
from server.asking import open_tasks
from server.context import Context
from server.home_id import home_id
from server.inspections import exposures_of
from server.jobs import queue
from server.jobs.records import Job
from server.jobs.runner import JobRun, Kind, Runner
from server.jobs.schedule import Schedule
from server.models_in_use import STARTER
from server.studio_service import PUSH, SWEEP

LEASE = timedelta(seconds=30)
"""How long a job waits when its process was cut off without dying; a dead one is noticed at once."""

OVERRULED = 1.0
"""Urgency of a crop that waits already when a person overrules its part, until all is weighed anew."""

SAMPLED = 0.5
"""Urgency of a part drawn at random, until all is weighed anew: among the doubtful ones."""

INSTALL = "install_starter"

SAMPLE = "label_sample"

RETENTION_CRON = "30 3 * * *"
"""When pictures whose time is over are removed: at night, after the retraining has begun."""


class Loop:
    """The jobs and schedules of the loop. A `server.context.Part`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._runner = Runner(
            context.database.write,
            kinds(context),
            clock=context.now,
            lease=LEASE,
            changed=self._tell,
            home=home_id(context.settings.folder(".")),
            looks=context.database.read,
        )
        self._schedule = Schedule(context.database.write, clock=context.now, wake=self._runner.wake)

    def start(self) -> None:
        """Hooks, then jobs, then the clock."""
        context, settings = self._context, self._context.settings
        context.after_inspection.append(partial(after_inspection, context))
        context.after_decision.append(partial(after_decision, context))
        gate_jobs.watch(context)
        modes.start(context)
        if settings.label_studio:
            self._schedule.every(settings.sweep_s, SWEEP)
        self._schedule.cron(settings.retrain_cron, retrain_asking.KIND, {"why": "by schedule"})
        self._schedule.cron(settings.retrain_cron, retrain_asking.PLACES)
        self._schedule.cron(settings.golden_cron, golden_needs.KIND, {"model": None, "why": "shift"})
        if settings.checkpoints is not None:
            self._schedule.cron(settings.checkpoint_cron, checkpoint.KIND)
        self._schedule.cron(RETENTION_CRON, retention.KIND)
        if settings.make_room_gb:
            self._schedule.every(room.EVERY_S, room.KIND)
        self._schedule.cron(RETENTION_CRON, features_job.FORGET)
        self._schedule.cron(money_sums.CRON, money_sums.KIND)
        with context.database.write() as session:
            queue.enqueue(session, INSTALL, now=context.now(), key=INSTALL)
            session.commit()
        self._runner.start()
        self._schedule.start()

    def wake(self) -> None:
        """A job was enqueued and committed: look now."""
        self._runner.wake()

    def state(self) -> dict[str, Any]:
        """For /health."""
        return self._runner.health()

    def stop(self) -> None:
        """Running jobs go back to the queue and go on at the next start."""
        self._schedule.stop()
        self._runner.stop()

    def _tell(self, job: Job) -> None:
        self._context.events.publish("job", job_json(job))


def start(context: Context) -> Loop:
    """Start the loop; a line in `server.parts.PARTS`."""
    loop = Loop(context)
    loop.start()
    return loop


def kinds(context: Context) -> dict[str, Kind]:
    """Every kind of job, and its lane: a retraining of minutes must not hold up a label, nor that a process model."""
    home = context.settings.home.resolve()
    return {
        INSTALL: Kind(partial(_install, context)),
        SAMPLE: Kind(partial(_sample, context)),
        PUSH: Kind(partial(label_jobs.push, context), lane="labels"),
        drift_labels.KIND: Kind(partial(drift_labels.job, context), lane="labels"),
        label_jobs.RANK: Kind(partial(label_jobs.rank, context), lane="labels"),
        label_jobs.COLLECT: Kind(partial(label_jobs.collect, context), lane="labels"),
        SWEEP: Kind(partial(label_jobs.sweep, context), lane="labels"),
        process_learning.KIND: Kind(partial(process_learning.job, home, context.database), lane="processes"),
        recipe.KIND: Kind(partial(recipe.job, context), lane="recipe"),
        retention.KIND: Kind(partial(retention.job, context), lane="erasure"),
        room.KIND: Kind(partial(room.job, context), lane="erasure"),
        erasure.KIND: Kind(partial(erasure.job, context), lane="erasure"),
        erasure.HERE: Kind(partial(erasure.here, context), lane="erasure"),
        erasure_scope.FILES: Kind(partial(erasure_scope.in_files, context), lane="erasure"),
        erasure.STUDIO: Kind(partial(erasure.in_label_studio, context), lane="labels"),
        checkpoint.KIND: Kind(partial(checkpoint.job, context)),
        backup_job.KIND: Kind(partial(backup_job.job, context), lane="backup"),
        money_sums.KIND: Kind(partial(money_sums.job, context), lane="sums"),
        mirror_job.KIND: Kind(partial(mirror_job.job, context), lane="mirror"),
        gate_jobs.KIND: Kind(partial(gate_jobs.job, context), lane="gate"),
        gate.WEIGH: Kind(partial(gate_jobs.weigh, context), lane="proof"),
        golden_needs.KIND: Kind(partial(golden_look.job, context), lane="gate"),
        retrain_asking.PLACES: Kind(retrain_asking.by_schedule),
        retrain_asking.KIND: Kind(partial(retrain_job.job, context), lane="training"),
        ready_job.KIND: Kind(partial(ready_job.job, context), lane="runtimes"),
        features_service.REMAKE: Kind(partial(features_job.remake, context), lane="features"),
        features_job.FORGET: Kind(partial(features_job.forget, context), lane="features"),
        features_search.KIND: Kind(partial(features_search.job, context), lane="features"),
    }


def after_inspection(context: Context, session: Session, inspection: Inspection, exposures: list[Exposure]) -> None:
    """A part in the review band becomes a label task in the transaction of its verdict; one drawn at random by a job
    that is asked for there: nobody waits for its label, but a line may wait for the verdict."""
    share = context.settings.label_at_random
    said = inspection.said  # where the station only shadows or advises, all parts would be in review otherwise
    if said is not None and said != Verdict.REVIEW and drawn_by_chance(inspection.id, share):
        queue.enqueue(session, SAMPLE, {"inspection": inspection.id, "chance": share}, now=context.now())
    if said != Verdict.REVIEW or inspection.score is None:
        return
    open_tasks(context, session, inspection, exposures, reason=Reason.REVIEW, urgency=uncertainty([inspection.score]))


def after_decision(
    context: Context, session: Session, inspection: Inspection, exposures: list[Exposure], decision: Decision
) -> None:
    """A part on which a person disagreed with the model becomes a label task, in the transaction of the decision."""
    if inspection.said in (None, Verdict.REVIEW) or decision.verdict == inspection.said:
        return
    open_tasks(context, session, inspection, exposures, reason=Reason.OVERRULED, urgency=OVERRULED)


def _sample(context: Context, run: JobRun) -> dict[str, Any]:
    """A part that was drawn at random becomes a label task, unless it was erased meanwhile; twice gives the same."""
    with context.database.write() as session:
        inspection = session.get(Inspection, run.arguments["inspection"])
        if inspection is None:
            return {"erased": True}
        exposures, chance = exposures_of(session, inspection.id), float(run.arguments["chance"])
        tasks = open_tasks(
            context, session, inspection, exposures, reason=Reason.SAMPLE, urgency=SAMPLED, chance=chance
        )
        session.commit()
    return {"label_tasks": [task.id for task in tasks]}


def job_json(job: Job) -> dict[str, Any]:
    """A job as it goes out in an event."""
    told = queue.as_json(job)
    return {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in told.items()}


def _install(context: Context, run: JobRun) -> dict[str, Any]:
    """The model that comes with the product becomes the first champion."""
    home = context.settings.home.resolve()
    serving = registry.install(context.database, context.events, home, STARTER, now=context.now())
    return {"champion": serving}
