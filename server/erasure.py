"""Erasing parts: pictures, masks, tasks, rows and traces go; tombstones stay, and name the models that saw them.

A durable job, so that a stop in the middle is gone on with: of each part first the files, which may be removed again;
then rows and trail in one commit; then names in logs, and what the database's own files still hold. Entries of the
audit trail that name the part keep their place and their seal, but lose their words (`server.audit.redact`). What
cannot be reached is said in the result: backups made before, and models whose training saw the part.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, text, update
from sqlalchemy import event as sql_event
from sqlmodel import Session, col, select

from labeling.book_records import BookExample, Ruling
from labeling.config import BESIDE
from labeling.records import Annotation, LabelTask
from labeling.studio import Studio
from process_opt.records import Approval, Outcome, ProcessVersion, Recommendation
from qc.errors import NotFound, Unavailable
from qc.records import Decision, Exposure, Inspection, new_id
from segmentation.records import ModelVersion
from server import audit, batch_decisions, erasure_files, golden, retrain_asking, retraining, servers, station_counts
from server.audit import AuditEntry
from server.context import Context
from server.db import BUSY_TIMEOUT_MS, Database
from server.features_records import Feature, Head, Suggestion
from server.home_id import home_id
from server.jobs import queue
from server.jobs.records import Job
from server.jobs.runner import JobRun
from server.outbound import outbox
from server.plant.start import forget as forget_at_stations
from server.watch_records import Alarm, CameraLook, ShadowVerdict
from server.word_records import OperatorCall, Undo

KIND = "erase"
STUDIO = "erase_in_label_studio"
HERE = "erase_here"
PATIENCE_S = 2.0
"""So long it is tried to empty SQLite's log, between moments in which others read or write; then later again."""
NOT_REACHED = (
    "backups made before: the next one removes those of the page, and destroys the keys of encrypted ones (qc backup "
    "--keys); remove other plain ones by hand, and erase again after restoring one"
)


@dataclass(frozen=True, slots=True)
class Traces:
    """What tells of a part in files."""

    part: str
    inspections: list[str]
    keys: list[str]
    """Of blobs that no other part has."""
    hashes: list[str]
    """SHA-256 of pictures that no other part has."""
    models: list[str]
    """Whose training saw it."""


@dataclass(frozen=True, slots=True)
class Trail:
    """Entries of the audit trail that name a part, found while nobody waits."""

    entries: list[int]
    upto: int
    """Number of the last entry that was looked at."""


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that is known of a part."""

    inspections: list[str]
    exposures: list[Exposure]
    decisions: list[str]
    calls: list[str]
    undone: list[str]
    tasks: list[LabelTask]
    annotations: list[Annotation]
    examples: list[BookExample]
    outcomes: list[Outcome]
    recommendations: list[str]
    decided: set[str]
    """Decisions on batches from which some of these come."""

    @property
    def empty(self) -> bool:
        """Is nothing known of it?"""
        return not (self.inspections or self.outcomes or self.recommendations)


def ask(session: Session, parts: Sequence[str], reason: str, *, by: str, now: datetime) -> Job:
    """Ask for parts, one or more, to be erased; the caller commits.

    Raises:
        NotFound: nothing is known of such a part.
    """
    for part in parts:
        if find(session, part).empty:
            raise NotFound(f"nothing is known of a part {part}")
    # the key must not name the parts, as it outlives them
    key = f"{KIND}:{hashlib.sha256(json.dumps(sorted(parts)).encode()).hexdigest()[:16]}"
    # as often as it takes: an object store may be away for days
    told = {"parts": list(parts), "reason": reason, "by": by}
    return queue.enqueue(session, KIND, told, now=now, key=key, max_attempts=1000)


def find(session: Session, part: str) -> Found:
    """Everything that the tables hold of a part."""
    ids = list(session.exec(select(Inspection.id).where(Inspection.part == part)))
    tasks = list(session.exec(select(LabelTask).where(col(LabelTask.inspection_id).in_(ids))))
    drawn = select(Annotation).where(col(Annotation.label_task_id).in_([task.id for task in tasks]))
    advised = list(session.exec(select(Recommendation).where(Recommendation.part == part)))
    return Found(
        inspections=ids,
        exposures=list(session.exec(select(Exposure).where(col(Exposure.inspection_id).in_(ids)))),
        decisions=list(session.exec(select(Decision.id).where(col(Decision.inspection_id).in_(ids)))),
        calls=list(session.exec(select(OperatorCall.id).where(col(OperatorCall.inspection_id).in_(ids)))),
        undone=list(session.exec(select(Undo.id).where(col(Undo.inspection_id).in_(ids)))),
        tasks=tasks,
        annotations=list(session.exec(drawn)),
        examples=list(session.exec(select(BookExample).where(col(BookExample.inspection_id).in_(ids)))),
        outcomes=list(session.exec(select(Outcome).where(Outcome.part == part))),
        recommendations=[row.id for row in advised],
        decided={str(row.answer[batch_decisions.NAMES]) for row in advised if batch_decisions.NAMES in row.answer},
    )


def job(context: Context, run: JobRun) -> dict[str, Any]:
    """Erase parts one after the other: of each its files, then its rows; then their names in logs, then the job's own.

    It is done once the database's files have forgotten them, too. What was counted is kept with the rows of each part,
    so that whatever ends an attempt, the next one goes on there.
    """
    with context.database.read() as session:
        before = session.get_one(Job, run.id).result
        parts = [part for part in _asked(run) if not find(session, part).empty]
    erased: list[dict[str, Any]] = [before] if before else []
    for part in parts:
        with context.database.read() as session:
            found = find(session, part)
            models = _models(session, context.settings.home.resolve(), found)
            traces = _traces(session, part, found, models)
            trail = _trail(session, part, found)
        _stop_trainings(context, found)
        _erase_files(context, traces)
        run.check()
        with context.database.write() as session:
            erased.append(_erase_rows(context, session, run, found, traces, trail))
            for home in servers.others(session, home_id(context.settings.folder("."))):
                # as often as it takes: that server may be off for weeks
                queue.enqueue(session, HERE, asdict(traces), now=context.now(), home=home, max_attempts=1000)
            session.execute(update(Job).where(col(Job.id) == run.id).values(result=_together(erased)))
            session.commit()
    for part in _asked(run):
        erasure_files.blot_out_in_logs(context.settings.home.resolve() / "logs", part)
    run.check()
    with context.database.write() as session:
        session.execute(update(Job).where(col(Job.id) == run.id).values(arguments={}, key=None))
        session.commit()
    settle(context.database)
    return _together(erased)


def _asked(run: JobRun) -> list[str]:
    """The parts that a job is about; jobs of earlier versions were about one. None is left once all are erased."""
    if not run.arguments:
        return []
    return [str(part) for part in run.arguments.get("parts") or [run.arguments["part"]]]


def _together(erased: list[dict[str, Any]]) -> dict[str, Any]:
    """What went with all parts: numbers are added, models listed once. Of what is together already, too."""
    counted = ("inspections", "images", "label_tasks", "entries_that_still_name_it")
    return {
        "parts": sum(one.get("parts", 1) for one in erased),
        **{name: sum(one[name] for one in erased) for name in counted},
        "models_that_saw_it": sorted({model for one in erased for model in one["models_that_saw_it"]}),
        "not_reached": NOT_REACHED,
    }


def here(context: Context, run: JobRun) -> dict[str, Any]:
    """What another server erased, in this one's folder. A picture that came again since, with another part, stays."""
    told = Traces(**run.arguments)
    with context.database.read() as session:
        again = select(Exposure).where(col(Exposure.sha256).in_(told.hashes))
        stays = {value for row in session.exec(again) for value in (row.sha256, row.original_key)}
    keys = [key for key in told.keys if key not in stays]
    traces = replace(told, keys=keys, hashes=[value for value in told.hashes if value not in stays])
    _erase_files(context, traces)
    _forget_counts(context)
    erasure_files.blot_out_in_logs(context.settings.home.resolve() / "logs", traces.part)
    with context.database.write() as session:
        run.finish(session, {"images": len(traces.hashes)})
        session.execute(update(Job).where(col(Job.id) == run.id).values(arguments={}, key=None))
        session.commit()
    return {"images": len(traces.hashes)}


def _traces(session: Session, part: str, found: Found, models: list[str]) -> Traces:
    shared = _shared(session, found)
    keys = [*_blobs(found, shared), *golden.keys_of(session, found.inspections)]
    hashes = sorted({exposure.sha256 for exposure in found.exposures} - shared)
    return Traces(part, found.inspections, keys, hashes, models)


def _subjects(found: Found) -> set[str]:
    """Ids of the rows that entries of the trail may tell of."""
    words = {*found.decisions, *found.calls, *found.undone, *(row.id for row in found.annotations)}
    return {*found.inspections, *words, *found.recommendations, *(row.id for row in found.outcomes)}


def _trail(session: Session, part: str, found: Found) -> Trail:
    upto = audit.length(session)
    return Trail([entry.n for entry in audit.naming(session, part, _subjects(found))], upto)


def _stop_trainings(context: Context, found: Found) -> None:
    """Retrainings under way that learn from the part begin anew, without it: no model is to come that saw it."""
    with context.database.write() as session:
        off = _begin_anew(context, session, found)
        session.commit()
    for id in off:  # else by whoever is at it, when that notices
        retraining.clear(context.settings.home.resolve(), id)


def _begin_anew(context: Context, session: Session, found: Found) -> list[str]:
    """Ids of the retrainings that are called off; the caller commits. One whose frozen set lies elsewhere, or is being
    written, may have it."""
    if not found.annotations:
        return []
    folder, ids = context.settings.home.resolve() / "retraining", set(found.inspections)

    def may_have_it(job: Job) -> bool:
        dataset = folder / job.id / "dataset"
        return erasure_files.was_in_dataset(dataset, ids) if dataset.is_dir() else job.started_at is not None

    return retrain_asking.begin_anew(session, may_have_it, now=context.now())


def _erase_files(context: Context, traces: Traces) -> None:
    """All that lies in files, but logs, which go on to be written; may be done again."""
    home, inspections, hashes = context.settings.home.resolve(), set(traces.inspections), set(traces.hashes)
    for key in traces.keys:
        context.blobs.delete(key)
    for sha256 in traces.hashes:
        erasure_files.forget_pictures(context.cache.root, sha256)
    erasure_files.forget_in_datasets(home, inspections, traces.part)
    erasure_files.forget_samples(home, traces.models)
    for model in traces.models:
        erasure_files.forget_in_card(home / "models" / model.removeprefix("sha256:"), inspections, hashes)
    erasure_files.forget_files(home, traces.part)
    forget_at_stations(context, traces.part)


def in_label_studio(context: Context, run: JobRun) -> dict[str, Any]:
    """Remove tasks and their uploaded pictures from Label Studio; tried again while it does not answer."""
    from server.studio_service import FOLDER, service

    own = not context.settings.label_studio_url
    media = context.settings.home.resolve() / FOLDER / "media" if own else None
    removed, left = forget_tasks(service(context).studio(), [int(n) for n in run.arguments["tasks"]], media)
    return {"tasks": removed, "pictures_left_on_its_disk": left}


def forget_tasks(studio: Studio, numbers: list[int], media: Path | None) -> tuple[int, list[str]]:
    """Remove tasks of Label Studio and the pictures that were uploaded for them.

    Args:
        media: where it keeps its uploads, if that is ours to reach: Label Studio forgets a file, but leaves it there.

    Returns:
        How many tasks were there, and the pictures that still lie on a disk out of our reach.
    """
    removed, left = 0, []
    for number in numbers:
        try:
            data = studio.task(number).get("data", {})
        except NotFound:
            continue
        pictures = [str(data.get("image", "")), *map(str, data.get(BESIDE) or [])]
        uploads = studio.call("GET", f"api/projects/{studio.project}/file-uploads", params={"all": "true"})
        mine = [upload for upload in uploads if any(p.endswith(f"/{upload['file']}") for p in pictures)]
        if mine:
            ids = [upload["id"] for upload in mine]
            studio.call("DELETE", f"api/projects/{studio.project}/file-uploads", json={"file_upload_ids": ids})
        for upload in mine:
            file = (media / str(upload["file"])).resolve() if media else None
            if file is not None and media is not None and file.is_relative_to(media):
                file.unlink(missing_ok=True)
            else:
                left.append(str(upload["file"]))
        studio.delete_task(number)  # last: by it the pictures are found again, should this be cut off
        removed += 1
    return removed, left


def tombstones(session: Session, *, limit: int = 100) -> list[AuditEntry]:
    """What was erased, newest first: when, by whom, why, how much; not what."""
    wanted = select(AuditEntry).where(AuditEntry.kind == audit.ERASURE).order_by(col(AuditEntry.n).desc())
    return list(session.exec(wanted.limit(limit)))


def _erase_rows(
    context: Context, session: Session, run: JobRun, found: Found, traces: Traces, trail: Trail
) -> dict[str, Any]:
    """Rows and trail of one part; the caller commits. The line waits meanwhile: nothing large is looked through."""
    now, part, models, subjects = context.now(), traces.part, traces.models, _subjects(found)
    late = audit.naming(session, part, subjects, after=trail.upto)
    numbers = sorted({*trail.entries, *(entry.n for entry in late)})
    entries = [entry for n in numbers if (entry := session.get(AuditEntry, n)) is not None]
    redacted = [entry.n for entry in entries if audit.redact(session, entry)]
    golden.forget(session, found.inspections, by="server", now=now)
    ids_of = (
        (BookExample, BookExample.id, [row.id for row in found.examples]),
        (Ruling, Ruling.part, [part]),
        (Annotation, Annotation.id, [row.id for row in found.annotations]),
        (LabelTask, LabelTask.id, [row.id for row in found.tasks]),
        (Undo, Undo.inspection_id, found.inspections),
        (OperatorCall, OperatorCall.inspection_id, found.inspections),
        (Decision, Decision.id, found.decisions),
        (CameraLook, CameraLook.inspection_id, found.inspections),
        (ShadowVerdict, ShadowVerdict.inspection_id, found.inspections),
        (Suggestion, Suggestion.inspection_id, found.inspections),
        (Feature, Feature.inspection_id, found.inspections),
        (Exposure, Exposure.inspection_id, found.inspections),
        (Inspection, Inspection.id, found.inspections),
        (Approval, Approval.recommendation_id, found.recommendations),
        (Recommendation, Recommendation.id, found.recommendations),
        (Outcome, Outcome.id, [row.id for row in found.outcomes]),
    )
    for table, column, ids in ids_of:
        session.execute(delete(table).where(col(column).in_(ids)))
    batch_decisions.forget(session, found.decided)
    for alarm in session.exec(select(Alarm)):
        kept = [[i for i in ids if i not in subjects] for ids in (alarm.before, alarm.after)]
        if kept != [alarm.before, alarm.after]:
            alarm.before, alarm.after = kept
            session.add(alarm)
    for version in session.exec(select(ModelVersion).where(col(ModelVersion.id).in_(models))):
        version.dataset = erasure_files.forgotten(version.dataset, set(found.inspections), set(traces.hashes))
        session.add(version)
    outbox.forget_part(session, part, set(found.inspections))
    for head in session.exec(select(Head)):
        named = [example for example in head.examples if example[0] not in subjects]
        if len(named) != len(head.examples):
            head.examples = named
            session.add(head)
    _begin_anew(context, session, found)  # one may have begun since, and read the rows that go now
    tasks = [task.studio_task_id for task in found.tasks if task.studio_task_id is not None]
    if tasks:
        queue.enqueue(session, STUDIO, {"tasks": tasks}, now=now, max_attempts=1000)
    told: dict[str, Any] = {
        "inspections": len(found.inspections),
        "images": len(found.exposures),
        "label_tasks": len(found.tasks),
        "models_that_saw_it": models,
        "entries_that_still_name_it": len(entries) - len(redacted),
        "not_reached": NOT_REACHED,
    }
    body = told | {"reason": run.arguments["reason"], "redacted": redacted}
    audit.record(session, audit.ERASURE, new_id(), body, by=str(run.arguments["by"]), at=now)
    sql_event.listen(session, "after_commit", lambda _: _forget_counts(context), once=True)
    for inspection_id in found.inspections:
        context.events.on_commit(session, "erasure", {"id": inspection_id})
    return told


def _forget_counts(context: Context) -> None:
    """What pages tell of many rows, of which there are less now."""
    station_counts.forget(context.database.engine)
    context.counts.forget()


def _blobs(found: Found, shared: set[str]) -> list[str]:
    keys = [exposure.original_key for exposure in found.exposures if exposure.sha256 not in shared]
    keys += [exposure.instances_key for exposure in found.exposures if exposure.instances_key]
    keys += [key for row in found.examples for key in (row.picture_key, row.mask_key)]
    return [key for key in (*keys, *(row.mask_key for row in found.annotations)) if key]


def _shared(session: Session, found: Found) -> set[str]:
    """Hashes of pictures that another part was sent with, too; theirs stay."""
    others = select(Exposure.sha256).where(
        col(Exposure.sha256).in_([exposure.sha256 for exposure in found.exposures]),
        col(Exposure.inspection_id).not_in(found.inspections),
    )
    return set(session.exec(others))


def _models(session: Session, home: Path, found: Found) -> list[str]:
    """Ids of the models whose training saw the part: in a frozen set, by the card of a model that was trained
    elsewhere, or among the outcomes learnt from."""
    saw = []
    for row in session.exec(select(Job).where(Job.kind == "retrain")):
        model = str((row.result or {}).get("model", ""))
        if model and erasure_files.was_in_dataset(home / "retraining" / row.id / "dataset", set(found.inspections)):
            saw.append(model)
    ids, hashes = set(found.inspections), {exposure.sha256 for exposure in found.exposures}
    for version in session.exec(select(ModelVersion)):
        if erasure_files.forgotten(version.dataset, ids, hashes) != version.dataset:
            saw.append(version.id)
    learnt = {row.learnt_in for row in found.outcomes if row.learnt_in}
    saw += list(session.exec(select(ProcessVersion.model).where(col(ProcessVersion.id).in_(learnt))))
    return sorted(set(saw))


def settle(database: Database) -> None:
    """Let the database's files forget what was deleted.

    SQLite: the log beside the file is written back and emptied. Nobody is waited for while others could write: whoever
    still reads the state before (a backup, a long table) would hold up the line as long as this waited.

    Raises:
        Unavailable: somebody goes on reading what was there before.
    """
    if database.dialect == "sqlite":
        with database.engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert raw is not None
            raw.execute("PRAGMA busy_timeout = 0")
            try:
                until = time.monotonic() + PATIENCE_S
                while raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                    if time.monotonic() > until:
                        raise Unavailable("somebody still reads the database as it was before; it is settled later")
                    time.sleep(0.02)
            finally:
                raw.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    else:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM inspection, exposure, decision, auditentry, job, outboundmessage"))
