"""What people drew comes home: at once by webhook, and by a sweep for whatever the webhook lost.

A webhook is a hint, never a fact: it names tasks, and the tasks are then read from Label Studio itself. Reading the
same thing twice changes nothing, so that replays, sweeps and webhooks may overlap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlmodel import Session, col, select

from labeling.authors import author
from labeling.convert import from_results
from labeling.evidence import counted
from labeling.push import png
from labeling.records import Annotation, LabelTask, TaskState
from labeling.studio import EVENTS, KEY, Listed, Studio
from labeling.studio_view import PRIORITY
from qc.errors import InvalidInput, NotFound
from qc.ports import BlobStore

MOVED = 0.02
"""A task whose urgency changed by less keeps its place in Label Studio."""

MOVES = 100
"""Tasks that get another place in one sweep at most: one request each."""


class Outcome(StrEnum):
    """What reading one task found."""

    UNCHANGED = "unchanged"
    FINISHED = "finished"
    """It has a usable annotation that is new or changed."""
    REOPENED = "reopened"
    """Its annotations were removed or skipped; it waits for a person again."""
    REFUSED = "refused"
    """A person drew something that makes no sense; the task's `problem` says what."""
    GONE = "gone"
    """It was deleted in Label Studio."""


@dataclass(slots=True)
class Swept:
    """What a sweep found, in tasks."""

    listed: int = 0
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    finished: list[str] = field(default_factory=list)
    """Ids of the label tasks with a new or changed annotation."""
    unknown: int = 0
    """Tasks in Label Studio that are not ours."""
    doubles: int = 0
    """Second copies without annotations, which were removed."""
    moved: int = 0
    """Tasks that have another place in the order now."""
    asked: int = 0
    """Tasks that more people are asked to label now: Label Studio was away when they became golden."""
    reopened: int = 0
    """Tasks of an earlier Label Studio installation, which will be pushed again."""

    def count(self, outcome: Outcome) -> None:
        """One more."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


def receive(session: Session, payload: Mapping[str, Any], *, now: datetime | None = None) -> list[str]:
    """Which label tasks to read again, after Label Studio called. Nothing is stored, and nothing asked of it.

    Events that are not ours, and tasks that we do not know, give an empty list.

    Raises:
        InvalidInput: the payload is not what Label Studio sends.
    """
    action = payload.get("action")
    if not isinstance(action, str):
        raise InvalidInput("a webhook's payload must name its action")
    if action not in EVENTS:
        return []
    tasks, annotations, keys = set[int](), set[int](), set[str]()
    for task in _many(payload, "task", "tasks"):
        tasks |= _number(task.get("id"))
        data = task.get("data")
        if isinstance(data, Mapping) and isinstance(data.get(KEY), str):
            keys.add(data[KEY])
    for annotation in _many(payload, "annotation", "annotations"):
        annotations |= _number(annotation.get("id"))
        tasks |= _number(annotation.get("task"))
    known = set(session.exec(select(LabelTask.id).where(col(LabelTask.studio_task_id).in_(tasks))).all())
    known |= set(session.exec(select(LabelTask.id).where(col(LabelTask.id).in_(keys))).all())
    drawn = select(Annotation.label_task_id).where(col(Annotation.studio_annotation_id).in_(annotations))
    return sorted(known | set(session.exec(drawn).all()))


def _many(payload: Mapping[str, Any], one: str, many: str) -> list[Mapping[str, Any]]:
    found = [payload.get(one)] if payload.get(one) is not None else []
    listed = payload.get(many) or []
    found += listed if isinstance(listed, list) else [listed]
    return [each for each in found if isinstance(each, Mapping)]


def _number(value: object) -> set[int]:
    """A row number that a database column can hold."""
    return {value} if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else set()


def collect_task(session: Session, studio: Studio, blobs: BlobStore, label_task: LabelTask, now: datetime) -> Outcome:
    """Read one task's annotations from Label Studio and make ours agree with them. The caller commits.

    The newest usable annotation counts; older ones are marked superseded, removed ones deleted. Of one that somebody
    else changed, what each of them drew is kept. Masks are stored by their content before the row that names them.

    Raises:
        Unavailable: Label Studio does not answer.
        NotFound: the task was never pushed to this Label Studio.
    """
    if label_task.studio_task_id is None or label_task.studio_project != studio.identity:
        there = studio.find_task(label_task.id)
        if there is None:
            raise NotFound(f"label task {label_task.id} is not in Label Studio; push it first")
        label_task.studio_task_id, label_task.studio_project = there.id, studio.identity
        label_task.pushed_at = label_task.pushed_at or now
        if label_task.state is TaskState.OPEN:
            label_task.state = TaskState.PUSHED
    session.add(label_task)
    of_task = Annotation.label_task_id == label_task.id
    rows = session.exec(select(Annotation).where(of_task, Annotation.studio_project == studio.identity)).all()
    known = {(row.studio_annotation_id, row.by): row for row in rows}
    try:
        task = studio.task(label_task.studio_task_id)
    except NotFound:
        return _gone(session, label_task, known, now)
    if (task.get("data") or {}).get(KEY) != label_task.id:
        return _gone(session, label_task, known, now)
    drawn = {int(a["id"]): a for a in task.get("annotations") or [] if not a.get("was_cancelled")}
    changed, problems = False, []
    for number, annotation in drawn.items():
        by = author(studio, annotation)
        row = known.get((number, by))
        if row is not None and not row.deleted and row.updated_at == _moment(annotation["updated_at"]):
            continue
        changed = True
        try:
            known[number, by] = _store(session, studio, blobs, label_task, row, annotation, by, now)
        except InvalidInput as error:
            problems.append(f"annotation {number}: {error.message}")
            if row is not None:  # what it was before, nobody means any more
                row.deleted = True
    for (number, _), row in known.items():
        if number not in drawn and not row.deleted:
            row.deleted = changed = True
    standing = sorted(
        (r for r in known.values() if not r.deleted), key=lambda r: (r.updated_at, r.studio_annotation_id)
    )
    for place, row in enumerate(standing, start=1):
        row.superseded = place < len(standing)
        session.add(row)
    for row in known.values():
        session.add(row)
    if changed:
        label_task.problem = problems[-1] if problems else None
        label_task.settled_key, label_task.settled_classes = None, {}  # what was settled was another drawing
    return _settle(label_task, finished=bool(standing), changed=changed, refused=bool(problems), now=now)


def _settle(task: LabelTask, *, finished: bool, changed: bool, refused: bool, now: datetime) -> Outcome:
    """Bring the task's state in line with its annotations."""
    before = task.state
    if finished:
        task.state = TaskState.DONE
        if before is not TaskState.DONE or changed:
            task.closed_at = now
        if refused:
            return Outcome.REFUSED
        return Outcome.FINISHED if changed or before is not TaskState.DONE else Outcome.UNCHANGED
    task.state, task.closed_at = TaskState.PUSHED, None
    if refused:
        return Outcome.REFUSED
    return Outcome.UNCHANGED if before is TaskState.PUSHED else Outcome.REOPENED


def _gone(session: Session, task: LabelTask, known: Mapping[tuple[int, str], Annotation], now: datetime) -> Outcome:
    """The task was deleted in Label Studio, and with it what was drawn."""
    for row in known.values():
        row.deleted = True
        session.add(row)
    before = task.state
    if before is not TaskState.CANCELLED:
        task.state, task.closed_at, task.problem = TaskState.CANCELLED, now, "it was deleted in Label Studio"
    return Outcome.UNCHANGED if before is TaskState.CANCELLED else Outcome.GONE


def _store(
    session: Session,
    studio: Studio,
    blobs: BlobStore,
    task: LabelTask,
    row: Annotation | None,
    annotation: Mapping[str, Any],
    by: str,
    now: datetime,
) -> Annotation:
    """The row of one annotation, new or brought up to date; raises InvalidInput if what was drawn makes no sense."""
    crop = task.crop
    drawing = from_results(annotation.get("result") or [], studio.classes, height=crop.height, width=crop.width)
    data = png(drawing.mask)
    key = f"labels/{task.id}/{hashlib.sha256(data).hexdigest()[:24]}.png"
    blobs.put(key, data)
    values: dict[str, Any] = {
        "updated_at": _moment(annotation["updated_at"]),
        "by": by,
        "mask_key": key,
        "classes": {str(class_id): name for class_id, name in studio.classes.items()},
        "lead_time_s": None if annotation.get("lead_time") is None else float(annotation["lead_time"]),
        "specks": drawing.specks,
        "drawn": counted(drawing.mask, studio.classes),
        "received_at": now,
        "deleted": False,
    }
    if row is None:
        row = Annotation(
            label_task_id=task.id,
            studio_project=studio.identity,
            studio_annotation_id=int(annotation["id"]),
            **values,
        )
    else:
        for name, value in values.items():
            setattr(row, name, value)
    session.add(row)
    return row


def _moment(text: str) -> datetime:
    """A time as Label Studio writes it (`…Z`)."""
    return datetime.fromisoformat(text).astimezone(UTC)


def sweep(
    session: Session,
    studio: Studio,
    blobs: BlobStore,
    now: datetime,
    *,
    progress: Callable[[int], None] | None = None,
) -> Swept:
    """Compare everything in Label Studio with what we know, and read again what changed.

    Finds what a webhook lost: annotations made in bulk, changed or removed while we did not listen, tasks deleted,
    tasks created by a push that was cut off. Commits after each task that changed. A fingerprint says which tasks
    changed, so that a sweep over thousands of unchanged ones is a few pages of a list.

    Raises:
        Unavailable: Label Studio does not answer; what is done stays done, and the next sweep goes on.
    """
    swept = Swept()
    listed = dict[str, Listed]()
    for there in studio.tasks():
        swept.listed += 1
        other = listed.get(there.key)
        if other is not None:
            there = _drop_double(studio, swept, other, there)
        if there.key:
            listed[there.key] = there
        else:
            swept.unknown += 1
    ours = {task.id: task for task in session.exec(select(LabelTask)).all()}
    swept.unknown += len(listed.keys() - ours.keys())
    _show_order(studio, swept, listed, ours)
    _ask_people(studio, swept, listed, ours)
    for done, (key, task) in enumerate(ours.items(), start=1):
        if progress is not None:
            progress(done)
        at = listed.get(key)
        if at is None:
            _missing(session, studio, blobs, swept, task, now)
        elif (task.studio_project, task.studio_task_id, task.studio_seen) != (studio.identity, at.id, at.fingerprint):
            if task.studio_project != studio.identity or task.studio_task_id != at.id:
                task.studio_task_id, task.studio_project = at.id, studio.identity
                task.state = TaskState.PUSHED if task.state is TaskState.OPEN else task.state
                task.pushed_at = task.pushed_at or now
            _read(session, studio, blobs, swept, task, now)
            task.studio_seen = at.fingerprint
            session.add(task)
            session.commit()
    return swept


def _ask_people(studio: Studio, swept: Swept, listed: Mapping[str, Listed], ours: Mapping[str, LabelTask]) -> None:
    """Tasks that more people shall label than Label Studio knows of are offered to them."""
    for key, there in listed.items():
        task = ours.get(key)
        if task is not None and there.people < task.people:
            studio.ask_people(there.id, task.people)
            swept.asked += 1


def _show_order(studio: Studio, swept: Swept, listed: Mapping[str, Listed], ours: Mapping[str, LabelTask]) -> None:
    """Where the order of what waits changed, Label Studio is told, most urgent first, at most `MOVES` at a time."""
    late = []
    for key, at in listed.items():
        task = ours.get(key)
        if task is None or task.state is not TaskState.PUSHED or at.annotations:
            continue
        shown = at.data.get(PRIORITY)
        if not isinstance(shown, int | float) or abs(shown - task.urgency) > MOVED:
            late.append((task.urgency, at))
    for urgency, at in sorted(late, key=lambda each: (-each[0], each[1].id))[:MOVES]:
        studio.prioritise(at, urgency)
        swept.moved += 1


def _read(session: Session, studio: Studio, blobs: BlobStore, swept: Swept, task: LabelTask, now: datetime) -> None:
    outcome = collect_task(session, studio, blobs, task, now)
    swept.count(outcome)
    if outcome is Outcome.FINISHED:
        swept.finished.append(task.id)


def _missing(session: Session, studio: Studio, blobs: BlobStore, swept: Swept, task: LabelTask, now: datetime) -> None:
    """A task of ours that Label Studio does not list."""
    if task.state is not TaskState.PUSHED and task.state is not TaskState.DONE:
        return
    if task.studio_project == studio.identity:
        _read(session, studio, blobs, swept, task, now)  # deleted, or created after the list was made
    elif task.state is TaskState.PUSHED:  # Label Studio was set up anew; what is done stays done
        task.state, task.studio_task_id, task.studio_project, task.studio_seen = TaskState.OPEN, None, None, None
        swept.reopened += 1
    session.add(task)
    session.commit()


def _drop_double(studio: Studio, swept: Swept, one: Listed, other: Listed) -> Listed:
    """Two tasks with one id of ours: the one with more annotations, then the older, stays; an empty one is removed."""
    stays, goes = sorted((one, other), key=lambda t: (-t.annotations, t.id))
    if one.key and not goes.annotations:
        studio.delete_task(goes.id)
        swept.doubles += 1
    return stays
